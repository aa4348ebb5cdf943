/** The thread on which a big module is prepared: takes one order, answers it, and is ended. */
import { type Order, prepare } from './prepare.ts'

declare const self: Worker

self.onmessage = ({ data }: MessageEvent<Order>): void => {
  const prepared = prepare(data)
  if (prepared.kind !== 'metered') return self.postMessage(prepared)
  // Only what was written: the room behind it would be copied, too.
  const bytes = prepared.metered.bytes.slice()
  const metered = { ...prepared.metered, bytes }
  self.postMessage({ ...prepared, metered }, [bytes.buffer])
}
