/** The listening sockets of a gateway that serves its clients by one process. */
import type { Address } from '../base/address.ts'
import type { Estate } from './estate.ts'
import type { Accepting, Sharing, Wanted } from './sharing.ts'

export class SoleSockets implements Sharing {
  readonly serves = true
  readonly cancel: Sharing['cancel']
  readonly openDatagrams: Estate['openDatagrams']
  readonly #estate: Estate

  /** `cancel`: what becomes of a CancelRequest whose key nobody here knows. */
  constructor(estate: Estate, cancel: Sharing['cancel']) {
    this.#estate = estate
    this.cancel = cancel
    this.openDatagrams = (wanted, bind) => estate.openDatagrams(wanted, bind)
  }

  isThere(address: Address): boolean {
    return this.#estate.isThere(address)
  }

  listen(wanted: Wanted): Accepting {
    const socket = this.#estate.open(wanted)
    const { bound } = socket
    return {
      ...(bound.network === 'tcp' ? { port: bound.port } : {}),
      stop: () => socket.stop(),
    }
  }

  sessions(): null {
    return null
  }
  share(limit: number): number {
    return limit
  }
  accepted(): void {}
  ended(): void {}
  check(): void {}
}
