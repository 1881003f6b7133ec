#!/usr/bin/env python3
"""Scores pictures by how warm they are: mean of red minus mean of blue. For the `pipe` reward; docs/opaque-rewards.md.

    rewards: [{plugin: pipe, params: {command: [python3], script: warmth.py}, smoothing: {sigma: 0.1, pairs: 8}}]
"""
import json
import sys

for line in sys.stdin.buffer:
    request = json.loads(line)
    body = sys.stdin.buffer.read(request["bytes"])
    size = request["bytes"] // request["count"]
    scores = []
    for start in range(0, request["bytes"], size):
        red, blue = body[start : start + size : 3], body[start + 2 : start + size : 3]
        scores.append((sum(red) - sum(blue)) / (255 * len(red)))
    print(json.dumps({"scores": scores}), flush=True)
