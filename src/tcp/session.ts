/**
 * One client connection from accept to close: asked about at onOpening, given a server connection,
 * two pumps, and an orderly end.
 */
import type { Socket } from 'bun'
import type { ObserverLine } from '../hooks/observers.ts'
import type { OpeningVerdict, Refusal } from '../hooks/verdict.ts'
import type { Conversation, SecuredOutcome } from '../protocols/protocol.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { type Arriving, admit } from './admission.ts'
import { carryCancel } from './cancellation.ts'
import { ClientEnd } from './client-end.ts'
import { Facts } from './facts.ts'
import { borrow, giveBack, goOn } from './lending.ts'
import { goOver } from './move.ts'
import { Pump } from './pump.ts'
import type { PumpOwner } from './pump-owner.ts'
import { PumpWaker } from './pump-waker.ts'
import * as refusals from './refusals.ts'
import type { ServerOwner } from './server-owner.ts'
import { ServerSide } from './server-side.ts'
import { SessionStanding, type SessionState } from './standing.ts'
import type { Surroundings } from './surroundings.ts'
import type { Tenancy } from './tenancy.ts'
import type { ClientSide, SecuredSide, TlsFacts } from './tls.ts'
import { destination, NO_SOURCE, turn } from './turning.ts'
import { Waits } from './waits.ts'

export class Session implements PumpOwner, ServerOwner, SecuredSide {
  #around: Surroundings
  /** What another generation has built, until the session can go over to it. */
  #next: Surroundings | null = null
  readonly #forget: (session: Session) => void
  readonly #client: ClientEnd
  readonly #conversation: Conversation
  readonly #toServer: Pump
  readonly #toClient: Pump
  line: ObserverLine | null
  readonly facts: Facts
  readonly #server: ServerSide
  #state: SessionState = 'opening'
  #cancelKey = ''
  #error = ''
  #leaving = false
  /** The client sends no more, and its kept server is not told. */
  #orphaned = false
  readonly #waits: Waits
  readonly #standing: SessionStanding

  constructor(
    number: number,
    client: Socket<ClientSide>,
    around: Surroundings,
    forget: (session: Session) => void,
  ) {
    this.#around = around
    this.#forget = forget
    around.tenancy.enter()
    this.#client = new ClientEnd(client)
    this.#server = new ServerSide(around, this, this.#client)
    this.#waits = new Waits(around, around.beat.now)
    const { place, hooks, limits, encryption, gate } = around
    const waker = new PumpWaker()
    const conversation = around.protocol.converse({
      fromClient: hooks.fromClient.wanted,
      fromServer: hooks.fromServer.wanted,
      limits,
      encryption,
      waker,
      gate,
      writeRefused: around.balancer.hasRoles ? () => this.#server.upstream.doubtRole() : null,
      lessor: gate?.shares ? this.#server : null,
    })
    this.#conversation = conversation
    this.#server.sharing = conversation.sharing
    const { fromClient, fromServer } = conversation
    const ends = { client: this.#client, server: this.#server }
    this.facts = new Facts({ number, place, ...ends, conversation })
    this.#toServer = new Pump(fromClient, fromClient, hooks.fromClient, this)
    this.#toClient = new Pump(fromServer, null, hooks.fromServer, this)
    this.#toServer.readFrom(client)
    this.#toServer.writeTo(this.#server.outlet)
    this.#toServer.answerTo(this.#client.outlet)
    this.#toClient.writeTo(this.#client.outlet)
    this.line = hooks.observers?.line(this.facts) ?? null
    const pumps = { toServer: this.#toServer, toClient: this.#toClient }
    Object.assign(waker, pumps)
    this.#standing = new SessionStanding({ conversation, ...pumps, ...ends, waits: this.#waits })
  }

  get around(): Surroundings {
    return this.#around
  }

  /** Asks the onOpening chain, then connects; `refusal` is given where it is already decided. */
  open(refusal: Refusal | null): void {
    if (refusal !== null) return this.#hearOut(refusal)
    const { opening } = this.#around.hooks
    if (opening === null) return this.#begin()
    const verdict = opening(this.facts)
    if (!(verdict instanceof Promise)) return this.#opened(verdict)
    verdict.then(
      (decided) => this.#opened(decided),
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #opened(verdict: OpeningVerdict): void {
    if (this.#state !== 'opening') return
    switch (verdict.kind) {
      case 'deny':
        return this.#hearOut(verdict)
      case 'close':
        return this.close(verdict.bytes ?? null)
      case 'route': {
        const upstream = this.#around.balancer.named(verdict.block)
        if (!upstream) return this.#hearOut(refusals.noBlock(verdict.block, this.#around.group))
        this.#server.turnTo(upstream, this.#toServer)
        return this.#begin()
      }
      default:
        this.#begin()
    }
  }

  /** A refused client is heard as far as the protocol needs, told, and closed. */
  #hearOut(refusal: Refusal): void {
    this.#state = 'refusing'
    this.#error = refusal.message
    this.#conversation.refuse(refusal)
    this.#toClient.start()
    this.#toServer.start()
    if (this.#conversation.refusalTold) this.close(null)
  }

  /** Goes to a server, unless the client must be let in before. */
  #begin(): void {
    if (this.#around.gate !== null) return this.#introduce()
    this.#server.reach(this.#conversation.startup, (refusal) => {
      if (refusal !== null) return this.#hearOut(refusal)
      this.#connected()
      this.#introduce()
    })
  }

  #connected(): void {
    const { socket, upstream, kept, outlet } = this.#server
    this.#waits.connected(upstream.patience, this.#around.beat.now)
    if (kept === null) this.#around.serverConnected?.(upstream, this.#server.addresses)
    this.#toClient.readFrom(socket!)
    if (!outlet.full) this.#toServer.drained()
  }

  /** The gateway has let the client in: it gets a server connection that is logged in. */
  admitted(): Promise<void> | null {
    return admit(this.#arriving)
  }

  get #arriving(): Arriving {
    return {
      server: this.#server,
      conversation: this.#conversation,
      connected: () => this.#connected(),
      refuse: (refusal) => this.refuse(refusal),
    }
  }

  /** Tells observers of the session, then lets bytes through. */
  #introduce(): void {
    this.#state = 'running'
    const settled = this.line?.introduce() ?? null
    if (settled === null) return this.#start()
    settled.then(
      () => this.#start(),
      (thrown: unknown) => this.broke(thrown),
    )
  }

  #start(): void {
    this.#toClient.start()
    this.#toServer.start()
  }

  fromClient(chunk: Uint8Array): void {
    this.#waits.clientSpoke = this.#around.beat.now
    this.#around.account.bytesFromClient += chunk.length
    const waits = this.#around.gate === null && this.#server.waits
    // It must not wait itself for what it is to set free.
    if (waits && this.#around.protocol.cancelTarget(chunk) !== '') return this.cancel(chunk)
    this.#toServer.feed(chunk)
    this.#giveBack()
  }

  borrowed(): void {
    borrow(this.#standing.parts, this.#around.beat.now)
  }
  fetched(refusal: Refusal | null): void {
    goOn(this.#standing.parts, refusal, this)
  }
  #giveBack(): void {
    if (this.#server.sharing !== null && this.#state === 'running') giveBack(this.#standing.parts)
  }

  secure(hello: Uint8Array): void {
    this.#client.secure(this.#around.tls!, { hello, now: this.#around.beat.now }, this)
  }
  secured(client: Socket<ClientSide>, facts: TlsFacts, outcome: SecuredOutcome): void {
    this.facts.tls = facts
    this.#client.secured(client)
    this.#conversation.secured(outcome)
    this.#toServer.readFrom(client)
  }

  /** Bytes came from the server. */
  fromServer(server: Socket<ServerOwner>, chunk: Uint8Array): void {
    // Nobody is left to read them, and a server that writes does not look for our end.
    if (this.#state === 'closing' || this.#state === 'closed') return void server.terminate()
    this.#waits.serverSpoke = this.#around.beat.now
    this.#around.account.bytesFromServer += chunk.length
    this.#toClient.feed(chunk)
    this.#giveBack()
  }

  clientDrained(): void {
    if (!this.#client.outlet.drained()) return
    this.#toClient.drained()
    this.#toServer.relieve()
  }

  serverDrained(): void {
    if (!this.#server.outlet.drained()) return
    this.#toServer.drained()
    this.#giveBack()
  }

  /** The client will send no more: so the server is told, once it has all of it. */
  clientEnded(): void {
    if (this.#state === 'refusing') return this.close(null)
    this.#leaving = !this.#conversation.outlivesServer
    this.#toServer.end(() => this.#clientLeft())
  }

  #clientLeft(): void {
    // A kept server outlives its client, which gets what it is still owed.
    if (this.#around.gate === null) {
      return this.#server.outlet.finish(() => this.#server.socket?.shutdown())
    }
    this.#orphaned = true
    if (this.#served) this.close(null)
  }

  /** A client that sends no more has all that it can still get. */
  get #served(): boolean {
    return !this.#conversation.owes || this.#conversation.awaitsClient
  }

  clientClosed(): void {
    this.#client.outlet.abandon()
    this.close(null)
    this.#closed()
  }

  /** The server will send no more: the client gets what came, and the reason if it said none. */
  serverEnded(server: Socket<ServerOwner>): void {
    if (server !== this.#server.socket || this.#state !== 'running') return
    this.#toClient.end(() => {
      if (this.#conversation.outlivesServer) this.#client.shutdown()
      else this.#serverGone()
    })
  }

  serverClosed(server: Socket<ServerOwner>): void {
    if (server !== this.#server.socket) return
    this.#server.closed()
    if (this.#state === 'running') this.#toClient.end(() => this.#serverGone())
  }

  #serverGone(): void {
    this.#server.upstream.doubtRole()
    this.close(this.#leaving ? null : this.#conversation.farewell(refusals.SERVER_GONE))
  }

  close(lastWords: Uint8Array | null): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#state = 'closing'
    this.#waits.closes(this.#around.beat.now)
    this.line?.tell('onClosing', { error: this.#error })
    const { leaves, midMessage, sharing } = this.#conversation
    this.#toServer.stop()
    this.#toClient.stop()
    this.#server.leave(leaves)
    sharing?.end()
    this.#client.close(midMessage ? null : lastWords)
  }

  refuse(refusal: Refusal): void {
    this.#error = refusal.message
    this.close(this.#conversation.farewell(refusal))
  }

  violated(sentence: string): void {
    this.#around.account.violations += 1
    this.#around.log.debug({ session: this.facts.id, client: this.facts.client.remote }, sentence)
    this.refuse(refusals.violation(sentence))
  }

  cancel(request: Uint8Array): void {
    this.#around.account.cancelRequests += 1
    const begin = (): void => {
      this.#state = 'cancelling'
      this.#server.leave(null)
    }
    carryCancel(request, this.#around, { begin, done: () => this.close(null) })
  }

  route(block: string): string | null {
    const sent = destination(block, this.#standing.parts, this.#around)
    if (typeof sent === 'string') return sent
    if (sent !== null) this.#turnTo(sent)
    return null
  }

  /** Goes to another upstream; what is written meanwhile waits for it. */
  #turnTo(upstream: Upstream): void {
    this.#server.turnTo(upstream, this.#toServer)
    if (this.#around.gate !== null && !this.#conversation.loggedIn) return
    this.#toClient.readFrom(NO_SOURCE)
    if (this.#server.sharing === null) turn(this.#arriving)
  }

  rememberRequest(bytes: Uint8Array): void {
    this.facts.lastRequest = bytes.slice()
  }

  progressed(): void {
    this.#toServer.relieve()
    const { cancelKey, refusalTold, departed } = this.#conversation
    if (refusalTold || ((departed || this.#orphaned) && this.#served)) return this.close(null)
    if (cancelKey !== this.#cancelKey) {
      this.#cancelKey = cancelKey
      this.#around.cancelTargets.set(cancelKey, this.#server)
    }
    this.#giveBack()
    if (this.#next !== null) this.renew(this.#next)
  }

  /** Goes over to what another generation built: at once, or at the next moment that allows it. */
  renew(next: Surroundings): void {
    this.#next = next
    if (this.#state !== 'running' || !goOver(this.#standing.parts, this.#around, next)) return
    this.#next = null
    this.#around = next
    this.line = next.hooks.observers?.line(this.facts, this.line) ?? null
  }

  /** Ends the session where it still uses what that generation has built. */
  expel(tenancy: Tenancy): void {
    if (this.#around.tenancy !== tenancy) return
    this.#around.account.expelled += 1
    this.refuse(refusals.RECONFIGURED)
  }

  broke(thrown: unknown): void {
    const { account, log } = this.#around
    account.internalErrors += 1
    log.error({ err: thrown, session: this.facts.id }, 'a session broke and was closed')
    this.close(null)
  }

  /** Called on every beat: ends what has waited too long. `now` in milliseconds. */
  check(now: number): void {
    this.#client.check(now, this.#waits.lingered(now))
    // The client has left, and its server does not react to that: it hangs.
    const deserted = this.#leaving && this.#state === 'running' && !this.#standing.underWay
    if (deserted && this.#waits.silent(now)) this.close(null)
    if (this.#server.displaced) return this.refuse(refusals.DISPLACED)
    const { counted, refusal } = this.#waits.overdue(now, this.#standing) ?? {}
    if (counted !== undefined) this.#around.account[counted] += 1
    if (refusal !== undefined) this.refuse(refusal)
  }

  /** Asks the session to end for a shutdown: at once where nothing is under way, or by force. */
  drain(force: boolean, farewell: Refusal): void {
    const { loggedIn, idle } = this.#conversation
    const busy = this.#state === 'running' && loggedIn && (!idle || this.#standing.underWay)
    if (!force && (busy || this.#state === 'cancelling')) return
    this.refuse(farewell)
  }

  #closed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.#cancelKey !== '') this.#around.cancelTargets.delete(this.#cancelKey)
    this.line?.tell('onClosed', { error: this.#error })
    this.#forget(this)
    this.#around.tenancy.leave()
  }
}
