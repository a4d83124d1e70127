// What this worker does: the only file to change for a worker of your own.

import { setTimeout as sleep } from 'node:timers/promises';

export const command = 'kettle';

// Each subcommand is given the step's parameters and dynamic values, and what tells people of its
// progress. What it returns is the answer's data; if it throws, the step has failed.
//
// Nothing here may hold up the event loop for long, or the connection dies for want of heartbeats:
// await what takes time, and give long computations to a worker thread or a child process.
export const subcommands = {
  Brew: {
    dynamic: ['tea'], // a step without them is refused
    async run({ parameters, dynamic, output, notify }) {
      const cups = Number(parameters.cups ?? 1);
      if (!(cups <= 4)) {
        await notify('failed', 'Kettle too small', `${cups} cups do not fit`);
        throw new Error('4 cups at most');
      }
      await output.info(`heating water for ${cups}`);
      await notify('completed', 'Tea is ready', `${cups} of ${dynamic.tea}`);
      return { cups, tea: dynamic.tea };
    },
  },

  KeepWarm: {
    async run({ parameters, output }) {
      const seconds = Number(parameters.seconds ?? 1);
      await output.info(`keeping warm for ${seconds} s`);
      await sleep(seconds * 1000);
    },
  },
};
