/**
 * A server connection that the gateway has logged in by itself. It outlives the sessions that it is
 * lent to: between two of them it is cleaned, kept, watched, and made ready for the next one.
 */
import type { Socket } from 'bun'
import { addressesOf } from '../base/address.ts'
import type { AddressPair } from '../hooks/step.ts'
import { SharedConnection } from '../protocols/postgres/sharing/connection.ts'
import { NO_TEXTS, type Profile } from '../protocols/postgres/sharing/profile.ts'
import type { SharingTerms } from '../protocols/postgres/sharing/terms.ts'
import type { Errand, Errands, Refused, ServerState } from '../protocols/protocol.ts'
import type { Kept, Pool } from '../upstream/pool.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { processDescriptors } from './descriptors.ts'
import { Outlet } from './outlet.ts'
import { type ServerOwner, serverHandlers } from './server-owner.ts'

/** Longest time for a server to answer the gateway's own statements. */
const ERRAND_MS_MAX = 15_000

/** How the connections of one pool are logged in and cleaned, and where they go back to. */
export interface Keeping {
  readonly errands: Errands
  /** What connections report that nobody has set anything on; null until there was one. */
  baseline: ReadonlyMap<string, string> | null
  readonly pool: Pool<KeptServer>
  /** By which terms clients share them by transactions; null where they do not. */
  readonly terms: SharingTerms | null
  /** A connection older than that is closed when it is given back; 0: never. */
  readonly lifetimeMs: number
  /** The time of the last look at the pool, so that connections need not ask the clock. */
  now: number
}

/** Why an errand failed; null: it did not. `gone`: the connection is of no use any more. */
export type Failure = { readonly refused: Refused; readonly gone: boolean } | null

type Done = (failure: Failure) => void

const GONE: Refused = { code: '08006', message: 'the database closed the connection' }
const SILENT: Refused = { code: '08006', message: `no answer within ${ERRAND_MS_MAX} ms` }

export class KeptServer implements ServerOwner, Kept {
  readonly upstream: Upstream
  readonly state: ServerState = {
    parameters: new Map(),
    cancelKey: new Uint8Array(0),
    shared: new SharedConnection(),
  }
  readonly openedAtMs = performance.now()
  /** When a session had it last, and when it last answered; in milliseconds. */
  lentAtMs = this.openedAtMs
  heardAtMs = this.openedAtMs
  readonly #keeping: Keeping
  #socket: Socket<ServerOwner> | null = null
  /** Writes what the gateway itself says; a session has one of its own. */
  #outlet = new Outlet(null)
  #errand: Errand | null = null
  #done: Done | null = null
  /** Listens while nobody has the connection; made once, for it may be lent very often. */
  #watch: Errand | null = null
  readonly #whenLost: Done = () => this.#lost()
  #timer: Timer | undefined
  /** CancelRequests under way that name this connection: no other client may be hit by them. */
  #cancels = 0
  #whenCalm: (() => void) | null = null

  constructor(upstream: Upstream, keeping: Keeping) {
    this.upstream = upstream
    this.#keeping = keeping
  }

  get addresses(): AddressPair {
    return addressesOf(this.#socket ?? {})
  }

  /** It is meant for writes, and its server says that it takes none. */
  get misplaced(): boolean {
    const { wanted } = this.upstream.role
    return wanted === 'primary' && this.#keeping.errands.readOnly(this.state)
  }

  /** Connects and logs in; gives up early where the client can go `elsewhere`. */
  async open(elsewhere: () => boolean, done: Done): Promise<void> {
    const wanted = (): boolean => true
    const dialled = await this.upstream.dial<ServerOwner>(serverHandlers, this, wanted, elsewhere)
    if (dialled.kind === 'failed') {
      return done({ refused: { code: '08006', message: dialled.cause }, gone: true })
    }
    processDescriptors().keptOpened()
    this.#socket = dialled.socket
    this.#outlet = new Outlet(dialled.socket)
    this.#run(this.#keeping.errands.logIn(this.state), (failure) => {
      if (failure === null) this.#keeping.baseline = new Map(this.state.parameters)
      done(failure)
    })
  }

  /** Gives the connection the settings that a client asked for, which also proves that it lives. */
  prepare(startup: Uint8Array, done: Done): void {
    this.#run(this.#keeping.errands.prepare(startup, this.state), done)
  }

  /** As `prepare`, where other clients may have left settings of theirs: those go first. */
  prepareAnew(startup: Uint8Array, done: Done): void {
    const { baseline, terms } = this.#keeping
    const first = terms!.profiles.of(baseline ?? this.state.parameters, NO_TEXTS)
    this.follow(first, (failure) => {
      if (failure === null) this.prepare(startup, done)
      else done(failure)
    })
  }

  /** Lends the socket: whoever takes it owns what happens on it until `takeBack`. */
  lend(owner: ServerOwner): Socket<ServerOwner> {
    const socket = this.#socket!
    this.#endErrand()
    socket.data = owner
    return socket
  }

  /** The session that it was lent to has ended, and left it in this state. */
  takeBack(left: 'idle' | 'transaction'): void {
    this.#socket!.data = this
    this.lentAtMs = performance.now()
    this.clean(left)
  }

  /** Takes away what a client left or asked for; then it goes back to the pool. */
  clean(left: 'idle' | 'transaction'): void {
    this.#run(this.#keeping.errands.clean(left, this.state), (failure) => {
      this.state.shared.cleaned()
      if (failure === null) this.#calm(() => this.#keep())
      else this.discard()
    })
  }

  /** Has the settings of a client that is in. */
  suits(profile: Profile): boolean {
    const { terms } = this.#keeping
    if (terms === null || this.#watch?.midMessage || this.misplaced) return false
    return this.state.shared.profile(this.state, terms.profiles) === profile
  }

  /** Gives the connection the settings of a client that is in. */
  follow(profile: Profile, done: Done): void {
    const errand = this.#keeping.errands.follow(profile, this.state)
    // Whoever got it now would read the rest of what it has begun to say.
    if (this.#watch?.midMessage) done({ refused: GONE, gone: true })
    else if (errand === null) done(null)
    else this.#run(errand, done)
  }

  /** A session that shares it is through with a transaction: the next one may have it at once. */
  giveBack(): void {
    this.#socket!.data = this
    this.lentAtMs = this.#keeping.now
    if (this.#cancels === 0) this.#keep()
    else this.#whenCalm = () => this.#keep()
  }

  /** Ready for the next client. */
  #keep(): void {
    const { pool, errands, lifetimeMs, now } = this.#keeping
    this.heardAtMs = now
    const isOld = lifetimeMs > 0 && now - this.openedAtMs >= lifetimeMs
    // It may have ended while nothing was listened for.
    if (this.#socket === null || isOld) {
      this.close()
      return pool.vacate()
    }
    this.#watch ??= errands.watch(this.state)
    this.#errand = this.#watch
    this.#done = this.#whenLost
    pool.giveBack(this)
  }

  /** Asks a kept connection, which was taken out of the pool for it, for a sign of life. */
  probe(): void {
    this.#run(this.#keeping.errands.probe(this.state), (failure) => {
      if (failure === null) this.#keep()
      else this.discard()
    })
  }

  /** Ends it without a word to the pool. */
  close(): void {
    this.#endErrand()
    const socket = this.#release()
    socket?.write(this.#keeping.errands.farewell)
    socket?.end()
  }

  /** The socket, which is no longer this connection's. */
  #release(): Socket<ServerOwner> | null {
    const socket = this.#socket
    if (socket !== null) processDescriptors().keptClosed()
    this.#socket = null
    return socket
  }

  /** A CancelRequest that names this connection is on its way; returns what ends that. */
  cancelling(): () => void {
    this.#cancels += 1
    return () => {
      this.#cancels -= 1
      if (this.#cancels > 0) return
      const calm = this.#whenCalm
      this.#whenCalm = null
      calm?.()
    }
  }

  #calm(then: () => void): void {
    if (this.#cancels === 0) return then()
    this.#whenCalm = then
  }

  /** Nobody may have it any more, and its place in the pool is not among the kept. */
  discard(): void {
    this.#endErrand()
    this.#release()?.terminate()
    this.#keeping.pool.discard()
  }

  /** A connection that nobody used has ended. */
  #lost(): void {
    const { pool } = this.#keeping
    this.close()
    this.upstream.doubtRole()
    if (pool.remove(this)) pool.vacate()
  }

  #run(errand: Errand, done: Done): void {
    this.#endErrand()
    this.#errand = errand
    this.#done = done
    if (errand.opening.length > 0) {
      this.#timer = setTimeout(() => this.#fail(SILENT), ERRAND_MS_MAX)
      this.#outlet.write(errand.opening)
    }
    if (errand.outcome !== null) this.#settle(errand)
  }

  #endErrand(): Done | null {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    const done = this.#done
    this.#errand = null
    this.#done = null
    return done
  }

  #settle({ outcome }: Errand): void {
    if (outcome === null) return
    const done = this.#endErrand()
    done?.(outcome.kind === 'done' ? null : { refused: outcome.refused, gone: false })
  }

  #fail(refused: Refused): void {
    this.#endErrand()?.({ refused, gone: true })
  }

  fromServer(_socket: Socket<ServerOwner>, chunk: Uint8Array): void {
    const errand = this.#errand
    if (errand === null) return
    const answer = errand.take(chunk)
    if (answer.length > 0) this.#outlet.write(answer)
    this.#settle(errand)
  }

  serverDrained(): void {
    this.#outlet.drained()
  }

  serverEnded(): void {
    this.#fail(GONE)
  }

  serverClosed(): void {
    this.#release()
    this.#fail(GONE)
  }
}
