/** Carries one CancelRequest to the server that it means, on a connection of its own. */
import type { Socket } from 'bun'
import { Outlet } from './outlet.ts'
import { type ServerOwner, serverHandlers } from './server-owner.ts'
import type { CancelTarget, Surroundings } from './surroundings.ts'

/** A server that does not close the connection of a CancelRequest is left after so long. */
const CANCEL_MS_MAX = 10_000

export class Cancellation implements ServerOwner {
  readonly #done: () => void
  /** While it lasts, a kept connection is lent to nobody else. */
  readonly #release: (() => void) | null
  readonly #outlet = new Outlet(null)
  #over = false

  constructor(target: CancelTarget, request: Uint8Array, around: Surroundings, done: () => void) {
    const { upstream, kept } = target
    this.#done = done
    this.#release = kept?.cancelling() ?? null
    this.#outlet.write(
      kept === null ? request : around.protocol.cancelRequest(kept.state.cancelKey),
    )
    upstream
      .dial<ServerOwner>(serverHandlers, this, () => !this.#over)
      .then(
        (dialled) => {
          if (dialled.kind === 'connected') this.#connected(dialled.socket)
          else {
            around.upstreamFailed(upstream, dialled.cause)
            this.#end()
          }
        },
        (thrown: unknown) => {
          around.log.error({ err: thrown }, 'a CancelRequest could not be carried on')
          this.#end()
        },
      )
  }

  #connected(socket: Socket<ServerOwner>): void {
    if (this.#over) return void socket.terminate()
    setTimeout(() => socket.terminate(), CANCEL_MS_MAX).unref()
    this.#outlet.attach(socket)
  }

  /** PostgreSQL answers nothing. */
  fromServer(): void {}

  serverDrained(): void {
    this.#outlet.drained()
  }

  serverEnded(socket: Socket<ServerOwner>): void {
    socket.end()
  }

  serverClosed(): void {
    this.#end()
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#release?.()
    this.#done()
  }
}

/** Told where a request is carried on, and when it is over, which may be at once. */
interface Canceller {
  begin(): void
  done(): void
}

/** Carries a request to the server that is meant, or to the worker that knows it. */
export function carryCancel(
  request: Uint8Array,
  around: Surroundings,
  { begin, done }: Canceller,
): void {
  const { cancelTargets, protocol, sharing = null, group } = around
  const target = cancelTargets.get(protocol.cancelTarget(request))
  // A client that is refused, because there are too many, may still cancel what another does.
  if (target?.unmet || (target === undefined && sharing === null)) return done()
  begin()
  if (target === undefined) sharing?.cancel(group, request.slice(), done)
  else new Cancellation(target, request.slice(), around, done)
}
