"""The worker of the tutorial in the seed, as somebody types it who follows that page."""

PATH = "re-worker-megafrobber/replugin/megafrobberworker/__init__.py"

FILE = '''\
#!/usr/bin/env python
import reworker.worker
import logging
import random


class MegafrobberWorker(reworker.worker.Worker):
    """
    Plugin to frob the heck out of something
    """

    def process(self, channel, basic_deliver, properties, body, output):
        self.output = output
        self.corr_id = str(properties.correlation_id)
        dynamic = body.get('dynamic', {})
        self.reply_to = properties.reply_to

        self._subcommands = ['frob']
        _subcommand = body['parameters'].get('subcommand', None)

        if _subcommand in self._subcommands:
            self.ack(basic_deliver)
        else:
            self.reject(basic_deliver)
            self.app_logger.error(
                "%s - Rejecting message, invalid subcommand requested: %s" % (
                    self.corr_id, _subcommand))
            self.notify(
                'Juicer Failed',
                ('Juicer failed. No dynamic keys given. '
                    'Expected: "cart" and "environment"'),
                'failed',
                self.corr_id)
            self.send(self.reply_to,
                      self.corr_id,
                      {'status': 'failed',
                       "message": "invalid subcommand requested: %s" % _subcommand},
                      exchange='')
            return False

        self.send(
            self.reply_to, self.corr_id, {'status': 'started'}, exchange='')

        self.app_logger.info('Beginning the frobbing')

        _frob_result = self._frob()

        if (_frob_result % 2) == 0:
            _msg = "The frobbing passed, even random number generated: %s" % _frob_result

            self.app_logger.info(_msg)
            self.notify(
                'Frobbing passed',
                _msg,
                'completed',
                self.corr_id)
            self.send(self.reply_to,
                      self.corr_id,
                      {'status': 'completed',
                       "message": _msg},
                      exchange='')
            return True
        else:
            _msg = 'Frobbing failed, odd random number generated: %s' % _frob_result

            self.app_logger.error(_msg)
            self.notify(
                'Frobbing failed',
                _msg,
                'failed',
                self.corr_id)
            self.send(self.reply_to,
                      self.corr_id,
                      {'status': 'failed',
                       "message": _msg},
                      exchange='')
            return False

    def _frob(self):
        """
        Frob the random number generator.

        If the result is even then "frob successful". If the result is
        odd, then "frob failed"
        """
        return random.randint(0, 100)


def main():  # pragma: no cover
    from reworker.worker import runner
    runner(MegafrobberWorker)


if __name__ == '__main__':  # pragma: no cover
    main()
'''
