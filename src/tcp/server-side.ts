/**
 * The server's end of one session: the upstream that it goes to, the way to a connection (a place
 * in the pool, a dial, or a connection that is logged in already), and what is written before.
 */
import type { Socket } from 'bun'
import { addressesOf } from '../base/address.ts'
import type { AddressPair } from '../hooks/step.ts'
import type { Refusal } from '../hooks/verdict.ts'
import type { SharingTerms } from '../protocols/postgres/sharing/terms.ts'
import type { Lessor, Sharing } from '../protocols/protocol.ts'
import type { Grant, Pool, Waiting } from '../upstream/pool.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { type Failure, type Keeping, KeptServer } from './kept-server.ts'
import { Outlet } from './outlet.ts'
import { Detours } from './reach.ts'
import * as refusals from './refusals.ts'
import { type ServerOwner, serverHandlers } from './server-owner.ts'
import type { Addressed, Arrived, ServerSideOwner, Taking } from './server-side-owner.ts'
import type { Surroundings } from './surroundings.ts'

const NO_ADDRESSES: AddressPair = { local: '', remote: '' }
/** A server that does not close when the session has ended is cut off this long after it. */
const LINGER_MS = 10_000

export class ServerSide implements Lessor {
  outlet = new Outlet(null)
  socket: Socket<ServerOwner> | null = null
  /** The connection, where it is one that the gateway has logged in. */
  kept: KeptServer | null = null
  #around: Surroundings
  readonly #owner: ServerSideOwner
  #upstream: Upstream
  /** The upstream counts this session among its own. */
  #counted = true
  #pair: AddressPair | null = null
  /** The pool in which this session has a place, where it has one. */
  #place: Pool<KeptServer> | null = null
  #waiting: Waiting | null = null
  /** Counts the ways that were begun: one that is not the last leads nowhere any more. */
  #way = 0
  #linger: Timer | undefined
  readonly #client: Addressed
  /** A plugin has named the upstream. */
  #routed = false
  #detours: Detours | null = null
  /** The client has been greeted, and has no connection now: it gets one when it needs it. */
  unmet = false
  /** How the session shares connections by transactions; null where it does not. */
  sharing: Sharing | null = null
  #fetching = false
  /** Whoever asked for a connection is still there to be given it. */
  #asking = false
  /** Made for the first time that it is needed, and kept: it may be needed very often. */
  #granted: ((grant: Grant<KeptServer>) => void) | null = null

  constructor(around: Surroundings, owner: ServerSideOwner, client: Addressed) {
    this.#around = around
    this.#owner = owner
    this.#client = client
    this.#upstream = around.balancer.next(client.socket)
    this.#upstream.sessions += 1
  }

  get upstream(): Upstream {
    return this.#upstream
  }

  #settleOn(upstream: Upstream): void {
    if (this.#counted) {
      this.#upstream.sessions -= 1
      upstream.sessions += 1
    }
    this.#upstream = upstream
  }

  /** The session is on a server that was the primary, and is not any more. */
  get displaced(): boolean {
    return this.socket !== null && this.#upstream.role.displaced
  }

  /** The upstream to which a session goes that somebody sends there. */
  acting(named: Upstream): Upstream {
    return this.#around.balancer.acting(named, this.#client.socket)
  }

  /** Another generation's upstreams and pools serve from now on; this one's must be among them. */
  renew(around: Surroundings): void {
    this.#around = around
    this.#detours = null
  }

  /** Both ends of the connection; empty where there is none. */
  get addresses(): AddressPair {
    if (this.socket === null) return NO_ADDRESSES
    this.#pair ??= addressesOf(this.socket)
    return this.#pair
  }

  /** True while another session must leave first. */
  get waits(): boolean {
    return this.#waiting !== null
  }

  /**
   * What a client can be told before it has a connection; null where that must be seen first:
   * nothing is known of the pool yet, or the settings that the client asks for may be refused.
   */
  assume(startup: Uint8Array): ReadonlyMap<string, string> | null {
    const keeping = this.#around.pools.get(this.upstream)?.keeping ?? null
    if (keeping?.baseline == null || !this.upstream.health.usable) return null
    return keeping.errands.assume(startup, keeping.baseline)
  }

  /** Has `fetch` called when there is something to say to the server. */
  promise(fetch: () => void): void {
    this.unmet = true
    this.outlet.await(fetch)
  }

  get terms(): SharingTerms {
    return this.#keeping.terms!
  }

  get #keeping(): Keeping {
    return this.#around.pools.get(this.upstream)!.keeping!
  }

  fetch(): boolean {
    if (this.kept !== null) return true
    if (this.#fetching) return false
    this.#fetching = true
    this.#asking = true
    this.#ask()
    this.#asking = false
    return this.kept !== null
  }

  #ask(): void {
    const refusal = this.#settleByRole()
    if (refusal !== null) return this.#arrived(refusal)
    const { pool } = this.#keeping
    const kept = pool.takeKept()
    if (kept !== null) return this.#takeShared(kept)
    this.#granted ??= (grant) => this.#takeShared(grant)
    this.#waiting = pool.take(this.#granted)
  }

  #arrived(refusal: Refusal | null): void {
    this.#fetching = false
    if (!this.#asking || refusal !== null) this.#owner.fetched(refusal)
  }

  #takeShared(grant: Grant<KeptServer>): void {
    this.#waiting = null
    const keeping = this.#keeping
    if (grant === 'late')
      return this.#arrived(refusals.poolFull(this.upstream, keeping.pool.sizeMax))
    if (grant !== 'place' && grant.suits(this.sharing!.profile!)) {
      this.#lend(grant)
      return this.#arrived(null)
    }
    const startup: Uint8Array = new Uint8Array(0)
    const arrived: Arrived = (refusal) => this.#arrived(refusal)
    this.#takeKept({ keeping, grant, startup, way: this.#way, arrived })
  }

  /** The transaction is over, and nothing ties the session to its connection. */
  giveBack(): void {
    this.unmet = true
    this.outlet.detach()
    this.#handBack(this.kept!)
  }

  /** A connection that is at rest is another's at once, where sharing has left it as it was. */
  #handBack(kept: KeptServer): void {
    const isClean = this.sharing?.soiled === false
    this.#forgetKept()
    if (isClean) kept.giveBack()
    else kept.takeBack('idle')
  }

  #forgetKept(): void {
    this.kept = null
    this.socket = null
    this.sharing?.giveBack()
  }

  /**
   * Finds a way to the upstream. `arrived` is told once, unless the session turns elsewhere or
   * leaves before; `startup` is what the client introduced itself with, for a kept connection.
   */
  reach(startup: Uint8Array, arrived: Arrived): void {
    const refusal = this.#settleByRole()
    if (refusal !== null) return arrived(refusal)
    const shared = this.#around.pools.get(this.upstream)
    if (shared === undefined) return this.#dial(startup, arrived)
    const { pool, keeping } = shared
    const way = this.#way
    this.#waiting = pool.take((grant) => {
      this.#waiting = null
      if (grant === 'late') arrived(refusals.poolFull(this.upstream, pool.sizeMax))
      else if (keeping === null) this.#dialInPlace(pool, startup, arrived)
      else this.#takeKept({ keeping, grant, startup, way, arrived })
    })
  }

  /** Goes to the server that has the role which is wanted; why it cannot, or null. */
  #settleByRole(): Refusal | null {
    if (this.#upstream.role.wanted === 'any') return null
    this.#settleOn(this.acting(this.#upstream))
    return this.#upstream.role.displaced ? refusals.noPrimary(this.#upstream) : null
  }

  #dialInPlace(pool: Pool<KeptServer>, startup: Uint8Array, arrived: Arrived): void {
    this.#place = pool
    this.#dial(startup, arrived)
  }

  #dial(startup: Uint8Array, arrived: Arrived): void {
    const way = this.#way
    const { upstream } = this
    const wanted = (): boolean => this.#way === way
    const elsewhere = (): boolean => this.#elsewhere(upstream)
    upstream.dial<ServerOwner>(serverHandlers, this.#owner, wanted, elsewhere).then(
      (dialled) => {
        if (!wanted()) {
          if (dialled.kind === 'connected') dialled.socket.terminate()
        } else if (dialled.kind === 'connected') {
          this.#attach(dialled.socket)
          arrived(null)
        } else {
          this.#vacate()
          this.#unreached(dialled.cause, startup, arrived)
        }
      },
      (thrown: unknown) => this.#owner.broke(thrown),
    )
  }

  #takeKept(taking: Taking): void {
    const { keeping, grant, arrived } = taking
    if (grant !== 'place') return this.#prepare(grant, taking)
    const server = new KeptServer(this.upstream, keeping)
    const elsewhere = (): boolean => this.#elsewhere(server.upstream)
    void server.open(elsewhere, (failure) => {
      if (failure === null) {
        this.#around.serverConnected?.(this.upstream, server.addresses)
        return this.#prepare(server, taking)
      }
      server.discard()
      // A server that is silent or hangs up while the gateway logs in is not to be relied on.
      if (failure.gone) server.upstream.health.attemptFailed(failure.refused.message)
      const cause = `${failure.refused.code}: ${failure.refused.message}`
      if (this.#way === taking.way) this.#unreached(cause, taking.startup, arrived)
    })
  }

  #prepare(server: KeptServer, taking: Taking): void {
    const { startup, way, arrived } = taking
    const left = (): boolean => this.#way !== way
    if (left()) return server.clean('idle')
    this.#settle(server, startup, (failure: Failure) => {
      if (failure?.gone) {
        // It died before the client had it: another one is as good.
        server.discard()
        if (!left()) this.#again(startup, arrived)
      } else if (left()) server.clean('idle')
      else if (server.misplaced) {
        server.discard()
        server.upstream.role.learn({ kind: 'standby', timeline: 0 })
        this.#again(startup, arrived)
      } else if (failure === null) {
        this.#lend(server)
        arrived(null)
      } else {
        server.clean('idle')
        arrived(failure.refused)
      }
    })
  }

  #lend(server: KeptServer): void {
    this.kept = server
    this.#attach(server.lend(this.#owner))
    if (this.sharing === null) return
    this.sharing.borrow(server.state)
    this.#owner.borrowed()
  }

  /** Gives a connection the settings of the client. */
  #settle(server: KeptServer, startup: Uint8Array, done: (failure: Failure) => void): void {
    const { sharing } = this
    if (sharing === null) server.prepare(startup, done)
    else if (sharing.profile !== null) server.follow(sharing.profile, done)
    else server.prepareAnew(startup, done)
  }

  #again(startup: Uint8Array, arrived: Arrived): void {
    if (this.sharing?.profile == null) return this.reach(startup, arrived)
    this.#ask()
  }

  #elsewhere(failing: Upstream): boolean {
    this.#detours ??= this.#newDetours()
    return this.#detours.elsewhere(failing)
  }

  /** Who is sent to a block by name goes nowhere else, unless another one has its role. */
  #newDetours(): Detours {
    const fixed = this.#routed && this.#upstream.role.wanted === 'any'
    return new Detours(this.#around.balancer, this.#client.socket, fixed)
  }

  /** Goes on to another upstream, or gives up. */
  #unreached(cause: string, startup: Uint8Array, arrived: Arrived): void {
    const { account, upstreamFailed } = this.#around
    account.upstreamFailures += 1
    upstreamFailed(this.upstream, cause)
    this.#detours ??= this.#newDetours()
    const other = this.#detours.instead(this.upstream)
    if (other === null) return arrived(refusals.unreachable(this.upstream.block))
    account.failovers += 1
    this.#settleOn(other)
    this.#again(startup, arrived)
  }

  #attach(socket: Socket<ServerOwner>): void {
    this.socket = socket
    this.unmet = false
    this.#pair = null
    this.outlet.attach(socket)
  }

  /**
   * Turns to the upstream that somebody has named; what is written meanwhile waits for it. A kept
   * connection must be at rest: it goes back to its pool.
   */
  turnTo(upstream: Upstream, writer: { writeTo(outlet: Outlet): void }): void {
    // What it has gathered for the server of before goes there, before that is anybody else's.
    writer.writeTo(this.outlet)
    this.#leaveWay()
    const { socket, kept } = this
    this.unmet = kept !== null || this.unmet
    if (kept === null) {
      this.#forgetKept()
      socket?.terminate()
    } else this.#handBack(kept)
    this.#vacate()
    upstream.routed += 1
    this.#settleOn(upstream)
    this.#routed = true
    this.#detours = null
    this.outlet = new Outlet(null)
    writer.writeTo(this.outlet)
  }

  /**
   * The session has ended. A kept connection goes back to its pool in the state it was `left` in;
   * any other is closed behind what is still to be written.
   */
  leave(left: 'idle' | 'transaction' | null): void {
    this.#leaveWay()
    if (this.#counted) this.#upstream.sessions -= 1
    this.#counted = false
    const { kept } = this
    if (kept === null) {
      this.outlet.finish(() => this.socket?.end())
      if (this.socket === null) this.#vacate()
      else this.#linger = setTimeout(() => this.socket?.terminate(), LINGER_MS)
      return
    }
    this.#forgetKept()
    if (left === null || this.outlet.full) kept.discard()
    else kept.takeBack(left)
  }

  /** The connection is gone: the place of it is free. */
  closed(): void {
    clearTimeout(this.#linger)
    this.outlet.abandon()
    this.#vacate()
    this.kept?.discard()
    this.#forgetKept()
  }

  #leaveWay(): void {
    this.#way += 1
    this.#waiting?.forget()
    this.#waiting = null
    this.#fetching = false
  }

  #vacate(): void {
    const place = this.#place
    this.#place = null
    place?.vacate()
  }
}
