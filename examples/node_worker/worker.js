// node worker.js MQ_CONFIG: serves until told to stop (Ctrl-C, SIGTERM).

import { readFileSync } from 'node:fs';
import { Bus } from './bus.js';
import * as kettle from './kettle.js';
import { Steps } from './steps.js';

const log = (text) => console.error(`${new Date().toISOString()} ${text}`);

const [file] = process.argv.slice(2);
if (!file) {
  console.error('usage: node worker.js MQ_CONFIG');
  process.exit(64);
}
const config = JSON.parse(readFileSync(file, 'utf8'));
const queue = `worker.${config.queue ?? kettle.command}`;

const bus = new Bus(config, queue, log);
const steps = new Steps(bus, kettle, log);

async function leave() {
  log('leaving, once the step in hand has ended');
  await bus.stop();
  await steps.stop();
  await bus.close();
}

// Once each: a second signal ends the process as it always does.
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, leave);

await bus.serve((message, channel) => steps.take(message, channel));
