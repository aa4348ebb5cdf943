/** One running instance of a plugin's module, and the two ways of calling its hooks. */
import type { HookName } from '../../hooks/hook.ts'
import { snakeCase } from '../../hooks/hook.ts'
import type { SessionFacts } from '../../hooks/step.ts'
import type { GuestShape } from './abi.ts'
import { instantiate, type Sandbox } from './extism.ts'
import { type Belongings, Host, type HostFunction, posternImports } from './host.ts'
import { GuestMemory } from './memory.ts'
import { PdkCall } from './pdk.ts'
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

function functionNamed(exports: Sandbox['exports'], name: string): GuestFunction {
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
    throw new Error(`abort: ${text}${at}`)
  }
}

/** Instance, memory and the state of the present call. Thrown away after a trap. */
export class Guest {
  readonly host: Host
  /** What the last call that returned FAULT reported. */
  fault = ''
  readonly #pdk: PdkCall
  readonly #sandbox: Sandbox
  readonly #memory: GuestMemory
  readonly #entries: ReadonlyMap<HookName, Entry>
  readonly #describe: GuestFunction
  readonly #allocate: GuestFunction | null

  private constructor(host: Host, pdk: PdkCall, sandbox: Sandbox, shape: GuestShape) {
    const { exports } = sandbox
    if (!(exports['memory'] instanceof WebAssembly.Memory)) throw new Error('it exports no memory')
    this.host = host
    this.#pdk = pdk
    this.#sandbox = sandbox
    this.#memory = new GuestMemory(exports['memory'])
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

  /** Makes an instance of the module for a plugin. Throws what the guest throws at its start. */
  static async open(
    module: WebAssembly.Module,
    shape: GuestShape,
    belongings: Belongings,
  ): Promise<Guest> {
    const host = new Host(belongings)
    const pdk = new PdkCall(host)
    const sandbox = await instantiate(module, {
      postern: posternImports(host),
      'extism:host/env': pdk.imports(),
      wasi_snapshot_preview1: wasiImports(host),
      env: { abort: abortImport(host) },
    })
    const guest = new Guest(host, pdk, sandbox, shape)
    if (shape.initialize) functionNamed(sandbox.exports, '_initialize')()
    return guest
  }

  /**
   * Calls a hook and returns its verdict's number, or FAULT; the payload is in `host`. Throws
   * where the guest traps: it must not be called again then. Callers call `finish` afterwards.
   */
  call(hook: HookName, session: SessionFacts | null, input: Uint8Array): number {
    const entry = this.#entries.get(hook)
    if (entry === undefined) throw new Error(`it has no ${hook}`)
    this.host.begin(session)
    return entry.direct ? this.#callDirect(entry.run, input) : this.#callPdk(entry.run, input)
  }

  /** The manifest as `describe` outputs it. */
  describe(): Uint8Array {
    this.host.begin(null)
    if (Number.isNaN(this.#callPdk(this.#describe, NOTHING))) throw new Error(this.fault)
    return this.host.payload ?? NOTHING
  }

  /** Lets go of everything that the last call left. */
  finish(): void {
    this.host.end()
    if (this.#pdk.left) this.#sandbox.free()
    this.#pdk.end()
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
      throw new Error(`postern_alloc gave ${length} bytes at ${pointer}, outside the memory`)
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
