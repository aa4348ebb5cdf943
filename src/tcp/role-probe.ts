/**
 * Asks a database whether it is the primary: connects as a session would, logs in, asks, leaves.
 * An answer is a sign of life too, so this stands in for the probe that anybody may make.
 */

import type { Socket } from 'bun'
import { SharedConnection } from '../protocols/postgres/sharing/connection.ts'
import type { Errand, RoleErrands, ServerState } from '../protocols/protocol.ts'
import type { Probed } from '../upstream/probe.ts'
import type { Inquiry, Upstream } from '../upstream/upstream.ts'
import { Outlet } from './outlet.ts'
import { type ServerOwner, serverHandlers } from './server-owner.ts'

/** What a probe of a database's role is, for an upstream that is asked about by these errands. */
export function roleInquiry(errands: RoleErrands): Inquiry {
  return (upstream, timeoutMs, aborted) =>
    new Promise((resolve) => {
      const visit = new RoleVisit(upstream, errands, resolve)
      aborted.addEventListener('abort', () => visit.fail('given up'), { once: true })
      visit.begin(timeoutMs)
    })
}

/** One connection, from its beginning to its end. */
class RoleVisit implements ServerOwner {
  readonly #upstream: Upstream
  readonly #errands: RoleErrands
  readonly #settle: (probed: Probed) => void
  readonly #state: ServerState = {
    parameters: new Map(),
    cancelKey: new Uint8Array(0),
    shared: new SharedConnection(),
  }
  #outlet = new Outlet(null)
  #socket: Socket<ServerOwner> | null = null
  #errand: Errand | null = null
  #then: (() => void) | null = null
  #timer: Timer | undefined
  #over = false

  constructor(upstream: Upstream, errands: RoleErrands, settle: (probed: Probed) => void) {
    this.#upstream = upstream
    this.#errands = errands
    this.#settle = settle
  }

  begin(timeoutMs: number): void {
    this.#timer = setTimeout(() => this.fail(`no answer within ${timeoutMs} ms`), timeoutMs)
    this.#timer.unref()
    // One attempt: whether there is another is for the health of the upstream to say.
    const wanted = (): boolean => false
    this.#upstream.dial<ServerOwner>(serverHandlers, this, wanted).then(
      (dialled) => {
        if (dialled.kind === 'failed') this.fail(dialled.cause)
        else if (this.#over) dialled.socket.terminate()
        else this.#connected(dialled.socket)
      },
      (thrown: unknown) => this.fail(String(thrown)),
    )
  }

  #connected(socket: Socket<ServerOwner>): void {
    socket.unref()
    this.#socket = socket
    this.#outlet = new Outlet(socket)
    this.#run(this.#errands.logIn(this.#state), () => {
      const ask = this.#errands.askRole(this.#state, (found) => this.#upstream.role.learn(found))
      this.#run(ask, () => this.#answered())
    })
  }

  #run(errand: Errand, then: () => void): void {
    this.#errand = errand
    this.#then = then
    this.#outlet.write(errand.opening)
  }

  fromServer(_socket: Socket<ServerOwner>, chunk: Uint8Array): void {
    const errand = this.#errand
    if (errand === null || this.#over) return
    const answer = errand.take(chunk)
    if (answer.length > 0) this.#outlet.write(answer)
    const { outcome } = errand
    if (outcome?.kind === 'done') this.#then?.()
    else if (outcome !== null) this.fail(`${outcome.refused.code}: ${outcome.refused.message}`)
  }

  serverDrained(): void {
    this.#outlet.drained()
  }
  serverEnded(): void {
    this.fail('it closed the connection without an answer')
  }
  serverClosed(): void {
    this.fail('it closed the connection without an answer')
  }

  #answered(): void {
    // First, since the end of the connection may be told at once.
    this.#end({ kind: 'answered' })
    this.#socket?.write(this.#errands.farewell)
    this.#socket?.end()
  }

  fail(cause: string): void {
    if (this.#over) return
    this.#end({ kind: 'failed', cause })
    this.#socket?.terminate()
  }

  #end(probed: Probed): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#settle(probed)
  }
}
