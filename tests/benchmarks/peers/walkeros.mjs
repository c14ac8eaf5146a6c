// The original collector on the same events and mapping.
//   node walkeros.mjs INPUT   reads {"events", "mapping", "consent", "count", "warmup"}, prints a result

import { readFileSync } from 'node:fs';
import { startFlow } from '@walkeros/collector';

const input = JSON.parse(readFileSync(process.argv[2], 'utf8'));

let delivered = 0;
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

async function pushAll(count) {
  for (let at = 0; at < count; at += 1) await elb(input.events[at % input.events.length]);
}

await pushAll(input.warmup);
const before = delivered;
const began = process.hrtime.bigint();
const cpu = process.cpuUsage();
await pushAll(input.count);
const used = process.cpuUsage(cpu);
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
console.log(
  JSON.stringify({
    delivered: delivered - before,
    seconds,
    cpu: (used.user + used.system) / 1e6,
    memory: process.memoryUsage().rss,
  }),
);
