/* What people said of pairs of pictures. */
#include "store/store_internal.h"

#include <string.h>

static const char *const winners[] = {"left", "right", "tie", "skip"};
enum { WINNERS = sizeof winners / sizeof *winners };

const char *dipp_vote_winner_name(dipp_vote_winner winner)
{
    return winners[winner];
}

bool dipp_vote_winner_by_name(const char *name, dipp_vote_winner *winner)
{
    for (int i = 0; i < WINNERS; i++)
        if (!strcmp(winners[i], name)) {
            *winner = (dipp_vote_winner)i;
            return true;
        }
    return false;
}

dipp_status dipp_store_vote_put(dipp_store *store, const dipp_vote *vote, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(
        store, "record a vote", error,
        "INSERT INTO votes(prompt, left_sha256, right_sha256, left_path, right_path, left_artifact_id, "
        "right_artifact_id, winner, voter, voted_at, seconds, session) VALUES(?,?,?,?,?,?,?,?,?,?,?,?) "
        "ON CONFLICT(voter, prompt, min(left_sha256,right_sha256), max(left_sha256,right_sha256)) DO UPDATE SET "
        "left_sha256=excluded.left_sha256, right_sha256=excluded.right_sha256, left_path=excluded.left_path, "
        "right_path=excluded.right_path, left_artifact_id=excluded.left_artifact_id, "
        "right_artifact_id=excluded.right_artifact_id, winner=excluded.winner, voted_at=excluded.voted_at, "
        "seconds=excluded.seconds, session=excluded.session",
        "tttttzzttirt", vote->prompt, vote->left.sha256, vote->right.sha256, vote->left.path, vote->right.path,
        vote->left.artifact_id, vote->right.artifact_id, winners[vote->winner], vote->voter,
        vote->time ? vote->time : dipp_store_now(), vote->seconds, vote->session);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_vote_remove(dipp_store *store, const char *voter, const char *prompt, const char *one_sha256,
                                   const char *other_sha256, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status =
        dipp_store_do(store, "take a vote back", error,
                      "DELETE FROM votes WHERE voter=?1 AND prompt=?2 AND min(left_sha256,right_sha256)=min(?3,?4) "
                      "AND max(left_sha256,right_sha256)=max(?3,?4)",
                      "tttt", voter, prompt, one_sha256, other_sha256);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_each_vote(dipp_store *store, const char *voter, dipp_store_vote_fn each, void *user,
                                 dipp_error *error)
{
    const char *what = "list votes";
    sqlite3_stmt *statement;
    bool more = false;
    dipp_status status = dipp_store_prepare(
        store, &statement, what,
        "SELECT prompt, left_sha256, right_sha256, left_path, right_path, left_artifact_id, right_artifact_id, winner, "
        "voter, voted_at, seconds, session FROM votes WHERE ?1 IS NULL OR voter=?1 ORDER BY vote_id",
        error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "t", voter);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        dipp_vote vote = {
            .prompt = dipp_store_text(statement, 0),
            .left = {sqlite3_column_int64(statement, 5), dipp_store_text(statement, 1), dipp_store_text(statement, 3)},
            .right = {sqlite3_column_int64(statement, 6), dipp_store_text(statement, 2), dipp_store_text(statement, 4)},
            .voter = dipp_store_text(statement, 8),
            .time = sqlite3_column_int64(statement, 9),
            .seconds = sqlite3_column_double(statement, 10),
            .session = dipp_store_text(statement, 11)};
        dipp_vote_winner_by_name(dipp_store_text(statement, 7), &vote.winner); /* the schema knows no other */
        if (each(user, &vote) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}
