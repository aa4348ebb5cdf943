/** One running instance of a plugin's module, and the two ways of calling its hooks. */
import type { HookName } from '../../hooks/hook.ts'
import { snakeCase } from '../../hooks/hook.ts'
import type { SessionFacts } from '../../hooks/step.ts'
import type { GuestShape } from './abi.ts'
import type { Belongings } from './belongings.ts'
import { Deadline } from './deadline.ts'
import { type Exports, type Imports, instantiate } from './extism.ts'
import { Host, type HostFunction, posternImports, timed } from './host.ts'
import { PAGE_BYTES } from './limits.ts'
import { GuestMemory } from './memory.ts'
import { INITIALIZE, METER_MODULE, WASI_MODULE } from './meter.ts'
import { PdkCall } from './pdk.ts'
import { Trap, trapOf } from './trap.ts'
import { wasiImports } from './wasi.ts'

/** Returned where the guest reported an error instead of a verdict; `Guest.fault` says which. */
export const FAULT = Number.NaN

type GuestFunction = (...args: number[]) => number

interface Entry {
  readonly run: GuestFunction
  readonly direct: boolean
}

const NOTHING = new Uint8Array(0)
/** AssemblyScript keeps the length of a text, in bytes, in the four before it. */
const TEXT_HEADER_BYTES = 4
const ABORT_TEXT_BYTES_MAX = 2048

function isFunction(value: unknown): value is GuestFunction {
  return typeof value === 'function'
}

function functionNamed(exports: Exports, name: string): GuestFunction {
  const value: unknown = exports[name]
  if (isFunction(value)) return value
  throw new Error(`it does not export the function ${name}`)
}

/** A text of AssemblyScript at a pointer; "" for null and for what lies outside the memory. */
function abortText(memory: GuestMemory, pointer: number): string {
  const start = pointer >>> 0
  const { buffer, byteLength } = memory.view
  if (start < TEXT_HEADER_BYTES || start > byteLength) return ''
  const length = new DataView(buffer).getUint32(start - TEXT_HEADER_BYTES, true)
  const end = Math.min(start + Math.min(length, ABORT_TEXT_BYTES_MAX), byteLength)
  return new TextDecoder('utf-16le').decode(memory.view.subarray(start, end))
}

function abortImport(host: Host): HostFunction {
  return (_context, message, file, line, column) => {
    const text = abortText(host.memory, message!)
    const place = abortText(host.memory, file!)
    const at = place === '' ? '' : ` at ${place}:${line! >>> 0}:${column! >>> 0}`
    throw new Trap('abort', `abort: ${text}${at}`)
  }
}

/** All that a guest may import, by the names that its metered module has for it. */
function importsOf(host: Host, pdk: PdkCall, deadline: Deadline): Imports {
  return {
    [METER_MODULE]: { refuel: () => deadline.refuel() },
    postern: timed(posternImports(host), deadline),
    'extism:host/env': pdk.imports(deadline),
    [WASI_MODULE]: timed(wasiImports(host), deadline),
    env: { abort: abortImport(host) },
  }
}

/** Notes what ended a guest's call by force, and returns it as what it is. */
function trapped({ traps, hits }: Belongings, thrown: unknown): Trap {
  const trap = trapOf(thrown)
  traps.add(trap.kind)
  if (trap.limit !== null) hits.add(trap.limit)
  return trap
}

/** Instance, memory and the state of the present call. Thrown away after a trap. */
export class Guest {
  readonly host: Host
  /** What the last call that returned FAULT reported. */
  fault = ''
  readonly #pdk: PdkCall
  readonly #deadline: Deadline
  readonly #callDeadlineMs: number
  /** What its start has left of the time for it. */
  #startLeftMs: number
  readonly #memory: GuestMemory
  readonly #entries: ReadonlyMap<HookName, Entry>
  readonly #describe: GuestFunction
  readonly #allocate: GuestFunction | null

  private constructor(
    host: Host,
    pdk: PdkCall,
    deadline: Deadline,
    exports: Exports,
    shape: GuestShape,
  ) {
    if (!(exports['memory'] instanceof WebAssembly.Memory)) throw new Error('it exports no memory')
    const { limits, hits } = host.belongings
    this.host = host
    this.#pdk = pdk
    this.#deadline = deadline
    this.#callDeadlineMs = limits.callDeadlineMs
    this.#startLeftMs = limits.startDeadlineMs
    const bytesFull = limits.memoryBytesMax - (limits.memoryBytesMax % PAGE_BYTES)
    this.#memory = new GuestMemory(exports['memory'], (bytes) => {
      if (bytes >= bytesFull) hits.add('memoryBytesMax')
    })
    host.adopt(this.#memory)
    this.#describe = functionNamed(exports, 'describe')
    const entries = new Map<HookName, Entry>()
    for (const [hook, form] of shape.hooks) {
      entries.set(hook, { run: functionNamed(exports, snakeCase(hook)), direct: form === 'direct' })
    }
    this.#entries = entries
    const allocates = [...entries.values()].some((entry) => entry.direct)
    this.#allocate = allocates ? functionNamed(exports, 'postern_alloc') : null
  }

  /**
   * Makes an instance of a metered module for a plugin. Throws a Trap for what the guest throws at
   * its start.
   */
  static async open(
    module: WebAssembly.Module,
    shape: GuestShape,
    belongings: Belongings,
  ): Promise<Guest> {
    const deadline = new Deadline(belongings.consumption, belongings.hits)
    const host = new Host(belongings)
    const pdk = new PdkCall(host)
    deadline.armAtFirstUse('startDeadline', belongings.limits.startDeadlineMs)
    try {
      const { exports } = await instantiate(module, importsOf(host, pdk, deadline))
      const guest = new Guest(host, pdk, deadline, exports, shape)
      guest.#startLeftMs -= deadline.spentMs
      if (shape.initialize) guest.#start(() => functionNamed(exports, INITIALIZE)())
      return guest
    } catch (thrown) {
      throw trapped(belongings, thrown)
    }
  }

  /** The size of its memory. */
  get memoryBytes(): number {
    return this.#memory.view.length
  }

  /**
   * Calls a hook and returns its verdict's number, or FAULT; the payload is in `host`. Throws a
   * Trap where the guest traps: it must not be called again then. Callers call `finish` afterwards.
   * `startedAt`: now, in milliseconds of `performance.now`.
   */
  call(hook: HookName, session: SessionFacts | null, input: Uint8Array, startedAt: number): number {
    const entry = this.#entries.get(hook)
    if (entry === undefined) throw new Error(`it has no ${hook}`)
    this.host.begin(session)
    this.#deadline.arm('callDeadline', this.#callDeadlineMs, startedAt)
    try {
      const { run, direct } = entry
      const returned = direct ? this.#callDirect(run, input) : this.#callPdk(run, input)
      this.#deadline.disarm()
      return returned
    } catch (thrown) {
      throw trapped(this.host.belongings, thrown)
    }
  }

  /** The manifest as `describe` outputs it. */
  describe(): Uint8Array {
    this.host.begin(null)
    try {
      const returned = this.#start(() => this.#callPdk(this.#describe, NOTHING))
      if (Number.isNaN(returned)) throw new Error(this.fault)
    } catch (thrown) {
      throw trapped(this.host.belongings, thrown)
    }
    return this.host.payload ?? NOTHING
  }

  /** Lets go of everything that the last call left. */
  finish(): void {
    this.host.end()
    this.#pdk.end()
  }

  /** Runs what belongs to the start, in what is left of the time for all of it. */
  #start(run: () => number): number {
    this.#deadline.arm('startDeadline', this.#startLeftMs)
    const returned = run()
    this.#startLeftMs -= this.#deadline.spentMs
    this.#deadline.disarm()
    return returned
  }

  #callDirect(run: GuestFunction, input: Uint8Array): number {
    const { length } = input
    // At least one byte, as the ABI promises to the guest's allocator.
    const pointer = this.#allocate!(length === 0 ? 1 : length) >>> 0
    if (pointer === 0) {
      this.fault = `postern_alloc has no room for ${length} bytes`
      return FAULT
    }
    const { view } = this.#memory
    if (pointer + length > view.length) {
      const sentence = `postern_alloc gave ${length} bytes at ${pointer}, outside the memory`
      throw new Trap('pointer', sentence)
    }
    view.set(input, pointer)
    return run(pointer, length)
  }

  #callPdk(run: GuestFunction, input: Uint8Array): number {
    this.#pdk.begin(input)
    const code = run()
    if (this.#pdk.error !== '') {
      this.fault = this.#pdk.error
      return FAULT
    }
    if (code === 0) return this.host.verdict
    this.fault = `it returned ${code} instead of 0`
    return FAULT
  }
}
