// Make calls with RudderStack's SDK for Node: node rudderstack_calls.js PACKAGE HOST KEY < CALLS
// CALLS is a list of [method, arguments]. Print a line for each error that the SDK reports.
const { readFileSync } = require('node:fs');

const [name, dataPlaneUrl, writeKey] = process.argv.slice(2);
const RudderAnalytics = require(name);
const errorHandler = (error) => console.log(error.response.status, error.message);
const analytics = new RudderAnalytics(writeKey, { dataPlaneUrl, errorHandler, logLevel: 'none' });
for (const [method, call] of JSON.parse(readFileSync(0)))
  analytics[method]({ ...call, timestamp: new Date(call.timestamp) });
analytics.flush();
