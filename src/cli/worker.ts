/** The worker of a gateway: what the executable is when its own gateway starts it. */
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { Worker } from '../worker.ts'
import { parseToWorker } from '../workers/messages.ts'
import { endWithParent } from '../workers/parent.ts'
import type { ProcessIo } from './io.ts'

/** What stops a gateway, or has it reload, comes to its whole group; it tells its workers. */
const LEFT_TO_GATEWAY = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGABRT', 'SIGUSR2'] as const

/** Serves until the gateway goes or lets it go. */
export async function worker(_argv: readonly string[], io: ProcessIo): Promise<number> {
  if (process.send === undefined) {
    throw new GatewayError('USAGE', 'a worker is started by its gateway: set workers in its file')
  }
  io.onSignal([...LEFT_TO_GATEWAY], () => undefined)
  const gone = Promise.withResolvers<number>()
  process.on('disconnect', () => gone.resolve(0))
  let running: Worker | null = null
  process.on('message', (heard: unknown) => {
    try {
      const message = parseToWorker(heard)
      if (message.kind !== 'start') return running?.heard(message)
      if (!endWithParent(message.supervisor)) return gone.resolve(1)
      running = new Worker(message, (answer) => void process.send?.(answer))
      running.start(message.handed)
    } catch (thrown) {
      io.err(`a worker cannot go on: ${sentenceOf(thrown)}`)
      gone.resolve(1)
    }
  })
  return await gone.promise
}
