/**
 * A process that accepts from a listening socket that it inherited as descriptor 3, greets every
 * client with its own number, and pauses and resumes when told on its standard input. Run as it is
 * by `inherited.test.ts`, and compiled.
 */
import { adoptListening } from '../../src/tcp/inherited.ts'

const shared = adoptListening<undefined>(
  3,
  {
    open: (socket) => void socket.write(`${process.pid}\n`),
    data() {},
  },
  'the test',
)
process.stdout.write('listening\n')
for await (const chunk of Bun.stdin.stream()) {
  const line = Buffer.from(chunk).toString().trim()
  if (line === 'pause') shared.pause()
  if (line === 'resume') shared.resume()
  if (line === 'stop') shared.stop()
  process.stdout.write(`${line}d\n`)
}
