// The original collector behind express, as its express source has it by default: JSON bodies up to
// 1 MB, CORS, the answer before the push. A list is pushed event by event.
//   node express.mjs   prints its address; then, for each line on stdin, {"accepted", "cpu"}

import { createInterface } from 'node:readline';
import cors from 'cors';
import express from 'express';
import { startFlow } from '@walkeros/collector';

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
const { elb } = await startFlow({
  consent: input.consent,
  destinations: {
    noop: { code: noop, config: { consent: { marketing: true }, mapping: input.mapping } },
  },
});

const app = express();
app.use(express.json({ limit: '1mb', type: ['application/json', 'text/plain'] }));
app.use(cors());
app.post('/collect', async (request, response) => {
  response.status(200).json({ success: true, timestamp: Date.now() });
  for (const event of Array.isArray(request.body) ? request.body : [request.body]) {
    pushed += 1;
    await elb(event);
  }
});
const server = app.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/collect`);
});

const lines = createInterface({ input: process.stdin });
lines.on('line', async () => {
  while (delivered < pushed) await new Promise((resolve) => setTimeout(resolve, 5));
  const used = process.cpuUsage();
  console.log(JSON.stringify({ accepted: delivered, cpu: (used.user + used.system) / 1e6 }));
});
lines.on('close', () => process.exit(0));
