/**
 * What is done with the bytes of a module before the engine gets them: hashed, compared with the
 * pin, metered. A big module is prepared on a thread of its own, so that no query waits for it.
 */
import { createHash } from 'node:crypto'
import { GatewayError } from '../../base/errors.ts'
import { type Metered, meter } from './meter.ts'
import type { MeterLimits } from './rewrite.ts'

/** A module to be prepared. */
export interface Order {
  readonly bytes: Uint8Array
  /** The file, for errors. */
  readonly where: string
  /** The hash that the file must have, 64 hex digits; null: any. */
  readonly pinned: string | null
  readonly limits: MeterLimits
}

/** What came of it: the hash in any case, and the metered module or why there is none. */
export type Prepared = { readonly checksum: string } & (
  | { readonly kind: 'metered'; readonly metered: Metered }
  | { readonly kind: 'refused'; readonly sentence: string }
)

/** Modules over this size are prepared on a thread of their own. */
export const ASIDE_BYTES = 1024 * 1024

/** Hashes, compares, meters: at once, and never throws for what the module contains. */
export function prepare({ bytes, where, pinned, limits }: Order): Prepared {
  const checksum = createHash('sha256').update(bytes).digest('hex')
  if (pinned !== null && pinned !== checksum) {
    return { kind: 'refused', checksum, sentence: `${where}: its hash is not the pinned one` }
  }
  try {
    return { kind: 'metered', checksum, metered: meter(bytes, where, limits) }
  } catch (thrown) {
    if (!(thrown instanceof GatewayError)) throw thrown
    return { kind: 'refused', checksum, sentence: thrown.message }
  }
}

/** Prepares on another thread, which ends with its work or at `timeoutMs`. */
export function prepareAside(order: Order, timeoutMs: number): Promise<Prepared> {
  return new Promise((resolve, reject) => {
    // In the executable all entries lie side by side, as here (see the build script).
    const thread = new Worker(new URL('./prepare-thread.ts', import.meta.url).href, { smol: true })
    const fail = (why: string): void => {
      end()
      reject(new GatewayError('PLUGIN_WASM', `${order.where}: could not be metered: ${why}`))
    }
    const timer = setTimeout(() => fail(`it took over ${timeoutMs} ms`), timeoutMs)
    const end = (): void => {
      clearTimeout(timer)
      thread.terminate()
    }
    thread.onmessage = ({ data }: MessageEvent<Prepared>) => {
      end()
      resolve(data)
    }
    thread.onerror = (event) => fail(event.message)
    thread.postMessage(order)
  })
}
