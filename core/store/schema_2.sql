-- Schema version 2: what people said of pictures. Runs once, inside the migration's transaction.

-- One person's word on two pictures of one prompt, as they were shown. The pictures are known by their bytes; the paths
-- say where they were then (relative to the store's directory, or absolute), the artifacts whose they are, where the
-- store knows. A voter has one word on a pair, whichever side the pictures were on: a later one replaces it.
CREATE TABLE votes(
  vote_id INTEGER PRIMARY KEY,
  prompt TEXT NOT NULL,
  left_sha256 TEXT NOT NULL CHECK(length(left_sha256)=64),
  right_sha256 TEXT NOT NULL CHECK(length(right_sha256)=64),
  left_path TEXT NOT NULL,
  right_path TEXT NOT NULL,
  left_artifact_id INTEGER REFERENCES artifacts ON DELETE SET NULL,
  right_artifact_id INTEGER REFERENCES artifacts ON DELETE SET NULL,
  winner TEXT NOT NULL CHECK(winner IN('left','right','tie','skip')),
  voter TEXT NOT NULL CHECK(voter<>''),
  voted_at INTEGER NOT NULL,
  seconds REAL NOT NULL CHECK(seconds>=0),      -- from showing the pair to the vote
  session TEXT NOT NULL,                        -- of the page that was open
  CHECK(left_sha256<>right_sha256)) STRICT;
CREATE UNIQUE INDEX votes_pair ON votes(voter, prompt, min(left_sha256,right_sha256), max(left_sha256,right_sha256));
CREATE INDEX votes_left ON votes(left_artifact_id) WHERE left_artifact_id IS NOT NULL;
CREATE INDEX votes_right ON votes(right_artifact_id) WHERE right_artifact_id IS NOT NULL;
