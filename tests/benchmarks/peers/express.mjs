// The original collector with a source on express that works as its express source does by default:
// JSON bodies up to 1 MB, CORS, a scope for each request, the answer before the push. A list is pushed
// event by event.
//   node express.mjs JSON   prints its address; then, for each line on stdin, {"accepted", "cpu"}

import { createInterface } from 'node:readline';
import cors from 'cors';
import express from 'express';
import { startFlow } from '@walkeros/collector';
import { createRespond } from '@walkeros/core';

const input = JSON.parse(process.argv[2]);
let delivered = 0;
let pushed = 0;
const noop = {
  type: 'noop',
  config: {},
  push() {
    delivered += 1;
  },
};
function source({ withScope }) {
  const app = express();
  app.use(express.json({ limit: '1mb', type: ['application/json', 'text/plain'] }));
  app.use(cors());
  app.post('/collect', (request, response) => {
    const respond = createRespond(({ status = 200, body }) => response.status(status).json(body));
    return withScope(request, respond, async ({ push }) => {
      respond({ body: { success: true, timestamp: Date.now() } });
      for (const event of Array.isArray(request.body) ? request.body : [request.body]) {
        pushed += 1;
        await push(event);
      }
    });
  });
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${server.address().port}/collect`);
  });
  return { type: 'express', config: {}, push() {} };
}

await startFlow({
  consent: input.consent,
  sources: { express: { code: source } },
  destinations: {
    noop: { code: noop, config: { consent: { marketing: true }, mapping: input.mapping } },
  },
});

const lines = createInterface({ input: process.stdin });
lines.on('line', async () => {
  while (delivered < pushed) await new Promise((resolve) => setTimeout(resolve, 5));
  const used = process.cpuUsage();
  console.log(JSON.stringify({ accepted: delivered, cpu: (used.user + used.system) / 1e6 }));
});
lines.on('close', () => process.exit(0));
