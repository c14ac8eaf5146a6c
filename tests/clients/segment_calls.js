// Make calls with Segment's SDK for Node, or one like it: node segment_calls.js PACKAGE HOST KEY < CALLS
// CALLS is a list of [method, arguments]. Print a line for each error that the SDK reports.
const { readFileSync } = require('node:fs');

const [name, host, writeKey] = process.argv.slice(2);
const { Analytics } = require(name);
const analytics = new Analytics({ host, writeKey });
analytics.on('error', ({ code, reason }) => console.log(code, reason.message));
for (const [method, call] of JSON.parse(readFileSync(0)))
  analytics[method]({ ...call, timestamp: new Date(call.timestamp) });
analytics.closeAndFlush();
