#!/usr/local/bin/node --max-semi-space-size=4
// The command of the image, under the names zone-egress and kuma-dp. The young space of the thread
// of sessions cannot be bounded once it runs (docs/decisions/garbage.md), so the flag is in the
// first line.
import '../dist/src/main.js';
