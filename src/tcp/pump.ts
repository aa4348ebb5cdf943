/** Moves one direction of one session, in order: pieces that pass, units that the chain decides. */
import { Chain, type Sink } from '../hooks/chain.ts'
import type { CONTINUE, Refusal } from '../hooks/verdict.ts'
import type { ClientFlow, Flow } from '../protocols/protocol.ts'
import type { Account } from './account.ts'
import type { DirectionHooks } from './direction-hooks.ts'
import { showEnd, showRequest, showTraffic } from './edges.ts'
import type { Outlet } from './outlet.ts'
import type { PumpOwner, Source } from './pump-owner.ts'
import { Runs } from './runs.ts'
import { ServerWait } from './server-wait.ts'

/** Reasons why the source is paused, as bits. */
const OUTLET_FULL = 1
const WAITING = 2
const OWED = 4
const NOT_STARTED = 8
const ANSWERING = 16
/** Any of these keeps it from looking at what came. */
const HALTED = WAITING | NOT_STARTED | ANSWERING

/**
 * Bytes taken from a source before the pump starts, beyond which it is paused. A startup packet
 * fits, so that an ordinary session is never paused and resumed, which costs several system calls.
 */
const EARLY_BYTES_MAX = 16_384

export class Pump implements Sink {
  readonly #account: Account
  readonly #flow: Flow
  /** Made for the first unit: an idle session is smaller without. */
  #chain: Chain | null = null
  #hooks: DirectionHooks
  readonly #owner: PumpOwner
  readonly #answer: ClientFlow | null
  /** True where nobody looks at this direction. */
  #untouched: boolean
  #outlet: Outlet | null = null
  /** Where answers of our own end up, without the server. */
  #echo: Outlet | null = null
  #answered = false
  #source: Source | null = null
  #stops = NOT_STARTED
  #paused = false
  #working = false
  #runs: Runs | null = null
  #backlog: Uint8Array[] = []
  /** Made for the first wait: most sessions keep their server. */
  #wait: ServerWait | null = null
  #early = 0
  #ended = false
  #flowEnded = false
  #onEnd: (() => void) | null = null
  over = false

  /** `answer` is the client's flow where this is the direction from the client, else null. */
  constructor(flow: Flow, answer: ClientFlow | null, hooks: DirectionHooks, owner: PumpOwner) {
    this.#account = owner.around.account
    this.#flow = flow
    this.#answer = answer
    this.#hooks = hooks
    this.#owner = owner
    this.#untouched = hooks.wanted.tags === null && !hooks.keepsRequest
  }

  /** Works for the steps and observers of another generation; only where it is at rest. */
  rehook(hooks: DirectionHooks): void {
    this.#hooks = hooks
    this.#untouched = hooks.wanted.tags === null && !hooks.keepsRequest
    this.#chain = null
  }

  /** The owner is told of progress also by chunks that nobody looks at, until `rehook`. */
  attend(): void {
    this.#untouched = false
  }

  /** Started, with nothing under way and nothing waiting. */
  get atRest(): boolean {
    const still = (this.#stops & HALTED) === 0 && !this.#working
    return still && this.#backlog.length === 0 && !this.#ended
  }

  /** Names the socket that is read; it is paused and resumed as the pump needs. */
  readFrom(source: Source): void {
    this.#source = source
    this.#paused = false
    if ((this.#stops & ~NOT_STARTED) !== 0) this.#pause()
  }

  /** What it reads is another's from now on. */
  letGo(): void {
    if (this.#paused) this.#source?.resume()
    this.#paused = false
    this.#source = null
  }

  writeTo(outlet: Outlet): void {
    this.#flush()
    this.#outlet = outlet
  }

  /** Where answers of this direction's steps go: the source is paused while many wait there. */
  answerTo(echo: Outlet): void {
    this.#echo = echo
  }

  /** Lets bytes through; before, they wait. */
  start(): void {
    this.#clear(NOT_STARTED)
    this.#resumeWork()
  }

  /** Takes what was read. */
  feed(chunk: Uint8Array): void {
    if (this.over) return
    if (this.#untouched && this.#stops === 0 && !this.#working) {
      const passed = this.#flow.pass(chunk)
      if (passed === 'serverless') {
        this.#wait ??= new ServerWait()
        this.#wait.park()
        this.#stops |= WAITING
        return void this.#backlog.push(chunk)
      }
      if (passed !== null) return this.#writeNow(passed)
    }
    if ((this.#stops & HALTED) !== 0 || this.#working) {
      this.#backlog.push(chunk)
      if ((this.#stops & NOT_STARTED) !== 0) this.#early += chunk.length
      if (this.busy || this.#early > EARLY_BYTES_MAX) this.#pause()
      return
    }
    this.#resumeWork(chunk)
  }

  /** There is a server now, which what came has waited for. */
  goOn(): void {
    if (this.#wait?.settle()) return
    this.#clear(WAITING)
    if (this.over) return
    if (!this.#wait?.unpark() || this.#backlog.length > 1) return this.#work()
    this.feed(this.#backlog.pop()!)
    if (this.#ended) this.#resumeWork()
    else if (this.#paused) this.#clear(0)
  }

  /** Null where there is a server for these messages, or none is needed. */
  ready(bytes: Uint8Array): Promise<typeof CONTINUE> | null {
    if (this.#answer === null || this.#answer.readyFor(bytes)) return null
    this.#wait ??= new ServerWait()
    return this.#wait.promise()
  }

  /** True while a step or a client must be waited for: what came has not all gone on. */
  get busy(): boolean {
    return (this.#stops & (WAITING | ANSWERING)) !== 0
  }

  /** True while a step decides, a server is awaited, or what came is worked off. */
  get occupied(): boolean {
    return (this.#stops & WAITING) !== 0 || this.#working
  }

  /** The protocol has something of its own to write here. */
  wake(): void {
    if (!this.occupied && this.#outlet !== null) this.#work()
  }

  /** The source ended; `done` is called when all that it sent has been written. */
  end(done: () => void): void {
    this.#ended = true
    this.#onEnd = done
    if ((this.#stops & HALTED) === 0 && !this.#working) this.#resumeWork()
  }

  /** The outlet can take more. */
  drained(): void {
    this.#clear(OUTLET_FULL)
  }

  /** Looks again whether the source may be read: the other direction made progress. */
  relieve(): void {
    if ((this.#stops & (OWED | ANSWERING)) === 0 || this.#crowded) return
    const rest = (this.#stops & ANSWERING) !== 0
    this.#answered = false
    this.#clear(OWED | ANSWERING)
    if (rest && !this.over && !this.occupied) this.#work()
  }

  get #madeChain(): Chain {
    const { steps, wanted } = this.#hooks
    const judge = this.#answer ?? this.#flow
    this.#chain ??= new Chain(steps, this.#owner.facts, judge, this, wanted)
    return this.#chain
  }

  /** Too much waits for the client already that this direction has caused. */
  get #crowded(): boolean {
    return this.#flow.full || (this.#answered && this.#echo?.full === true)
  }

  stop(): void {
    this.#flush()
    this.over = true
    this.#backlog = []
    this.#flow.release()
    // A source that stays paused would never tell that it has closed.
    this.letGo()
  }

  #work(): void {
    this.#working = true
    try {
      if (this.#pieces()) return
    } catch (thrown) {
      this.#owner.broke(thrown)
    } finally {
      this.#flush()
      this.#runs = Runs.end(this.#runs)
      this.#working = false
    }
    if (this.#backlog.length > 0 && !this.over) return this.#resumeWork()
    if (this.#ended && !this.#flowEnded && !this.over) {
      this.#flowEnded = true
      this.#flow.end()
      return this.#work()
    }
    if (this.#flow.full) this.#set(OWED)
    else if (this.#paused) this.#clear(0)
    this.#owner.progressed()
    if (this.#flowEnded && !this.over) this.#finish()
  }

  /** Works off all pieces; true where something must be waited for before the next one. */
  #pieces(): boolean {
    const flow = this.#flow
    while (!this.over) {
      switch (flow.next()) {
        case 'none':
          return false
        case 'pass':
          if (this.#hooks.keepsRequest) this.#owner.rememberRequest(flow.bytes)
          this.#write(flow.bytes)
          break
        case 'inject':
          this.#write(flow.bytes)
          break
        case 'unit': {
          const waiting = this.#madeChain.run(flow.bytes, flow.over, flow.bytes[0]!)
          if (waiting === undefined) break
          this.#waitFor(waiting)
          return true
        }
        case 'oversize':
          if (this.#madeChain.oversize(flow.bytes.slice())) flow.streamOversize()
          else flow.dropOversize()
          break
        case 'edge': {
          const shown = showRequest(this.#hooks.edges, this.#owner.facts, flow.bytes)
          if (shown === null) break
          this.#waitFor(shown)
          return true
        }
        case 'secure':
          this.#secure(flow.bytes)
          break
        case 'cancel':
          this.#owner.cancel(flow.bytes)
          break
        case 'admitted': {
          const waiting = this.#owner.admitted()
          if (waiting === null) break
          this.#waitFor(waiting)
          return true
        }
        case 'serverless':
          this.#stops |= WAITING
          return true
        case 'violation':
          this.#owner.violated(flow.violation)
      }
      if (this.#answered && this.#crowded) {
        this.#set(ANSWERING)
        return true
      }
    }
    return false
  }

  /** What came meanwhile belongs to TLS, but for bytes of one who did not wait for the answer. */
  #secure(hello: Uint8Array): void {
    const more = this.#backlog.splice(0)
    if (hello.length === 0 && more.length > 0) {
      return this.#owner.violated('data follow a request for encryption')
    }
    this.#owner.secure(Buffer.concat([hello, ...more]))
  }

  #write(bytes: Uint8Array): void {
    if (this.#runs?.gather(bytes)) return
    this.#flush()
    if (!this.#runs?.gather(bytes)) this.#writeNow(bytes)
  }

  #flush(): void {
    const run = this.#runs?.take()
    if (run) this.#writeNow(run)
  }

  #writeNow(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (this.#answer === null) this.#account.bytesToClient += bytes.length
    else this.#account.bytesToServer += bytes.length
    if (!this.#outlet!.write(bytes)) this.#set(OUTLET_FULL)
  }

  /** The source is paused only if more comes meanwhile: pausing costs several system calls. */
  #waitFor(waiting: Promise<unknown>): void {
    this.#stops |= WAITING
    waiting.then(
      () => {
        this.#clear(WAITING)
        if (!this.over) this.#work()
      },
      (thrown: unknown) => this.#owner.broke(thrown),
    )
  }

  /** Goes on with what came while the pump waited, or just now. */
  #resumeWork(chunk = this.#backlog.shift()): void {
    if (this.over) return
    if (chunk !== undefined) {
      this.#runs = Runs.of(chunk)
      this.#flow.push(chunk)
    }
    this.#work()
  }

  #finish(): void {
    const done = this.#onEnd
    this.#onEnd = null
    if (done === null) return
    showEnd(this.#hooks.edges, this.#owner.facts, this.#owner.line)
    done()
  }

  forward(bytes: Uint8Array): void {
    const out = this.#flow.forward(bytes)
    if (out.length === 0) return
    this.#write(out)
    if (this.#hooks.keepsRequest) this.#owner.rememberRequest(out)
    showTraffic(this.#hooks, this.#owner, this.#flow, out)
  }

  deny(unit: Uint8Array, refusal: Refusal): void {
    this.#owner.around.denied(this.#hooks.decides)
    const out = this.#flow.deny(unit, refusal)
    if (out === null) this.#owner.refuse(refusal)
    else this.#write(out)
    this.#answered = this.#answer !== null
  }

  respond(unit: Uint8Array, bytes: Uint8Array): void {
    if (this.#answer === null) return
    this.#write(this.#answer.respond(unit, bytes))
    this.#answered = true
  }

  route(_unit: Uint8Array, block: string): string | null {
    return this.#owner.route(block)
  }

  close(bytes: Uint8Array | undefined): void {
    this.#owner.close(bytes ?? null)
  }

  failed(plugin: string, cause: string): void {
    this.#owner.around.stepFailed(plugin, this.#hooks.decides, cause)
  }

  #set(reason: number): void {
    this.#stops |= reason
    this.#pause()
  }

  #clear(reason: number): void {
    this.#stops &= ~reason
    if (this.#stops !== 0 || !this.#paused || this.over || this.#backlog.length > 0) return
    this.#paused = false
    this.#source?.resume()
  }

  #pause(): void {
    if (this.#paused || this.#source === null) return
    this.#paused = true
    this.#source.pause()
  }
}
