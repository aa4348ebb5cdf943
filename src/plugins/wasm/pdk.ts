/**
 * What Extism's PDKs import from `extism:host/env`, where the SDK's own answer would need its
 * promise-based call, has no limit or has a flaw: input, output, error, configuration, variables,
 * log and the limits of memory. Blocks of memory themselves stay with the SDK.
 */
import type { CurrentPlugin } from '@extism/extism'
import type { Host } from './host.ts'
import type { JournalLevel } from './journal.ts'
import { CALL_BYTES_MAX, OUTPUT_BYTES_MAX, PDK_BLOCKS_MAX, PDK_BYTES_MAX } from './limits.ts'
import { decodeText } from './memory.ts'

/** A function of `extism:host/env` as the SDK binds it. */
export type PdkFunction = (context: CurrentPlugin, ...args: bigint[]) => bigint | number | undefined

const NOTHING = new Uint8Array(0)
/** What a block costs the host beside its bytes. */
const BLOCK_BYTES = 64
/** The lower bits of an address are the place within its block. */
const OFFSET_MASK = (1n << 48n) - 1n
/** The host decides by level, so guests are told to send everything: Extism's 0 is `trace`. */
const LEVEL_TRACE = 0

/** The present call as a PDK sees it. */
export class PdkCall {
  readonly #host: Host
  #input: Uint8Array = NOTHING
  #inputReader: DataView | null = null
  #inputAddress = 0n
  #allocated = 0
  #blocks = 0
  /** The PDK's error, or "". */
  error = ''

  constructor(host: Host) {
    this.#host = host
  }

  /** True where the call left memory behind that must be given back. */
  get left(): boolean {
    return this.#blocks > 0
  }

  begin(input: Uint8Array): void {
    this.#input = input
    this.#inputAddress = 0n
    this.error = ''
  }

  end(): void {
    this.#input = NOTHING
    this.#inputReader = null
    this.#allocated = 0
    this.#blocks = 0
  }

  /** Counts an allocation before it is made. */
  #charge(bytes: bigint | number): void {
    this.#allocated += Number(BigInt.asUintN(64, BigInt(bytes))) + BLOCK_BYTES
    this.#blocks++
    if (this.#allocated > PDK_BYTES_MAX || this.#blocks > PDK_BLOCKS_MAX) {
      const limit = `${PDK_BYTES_MAX} bytes in ${PDK_BLOCKS_MAX} blocks`
      throw new Error(`alloc went over the Extism memory of one call, ${limit}`)
    }
  }

  #alloc(context: CurrentPlugin, bytes: bigint): bigint {
    this.#charge(bytes)
    return context.alloc(bytes)
  }

  #store(context: CurrentPlugin, bytes: Uint8Array): bigint {
    this.#charge(bytes.length)
    // A copy: the SDK takes the whole buffer behind a view, and guests may write to it.
    return context.store(new Uint8Array(bytes))
  }

  /** The block at an address as bytes, borrowed; empty for address 0. */
  #block(context: CurrentPlugin, address: bigint, what: string, bytesMax: number): Uint8Array {
    if (address === 0n) return NOTHING
    const block = context.read(address)
    if (block === null) throw new Error(`${what} was given an address of no block`)
    const bytes = new Uint8Array(block.arrayBuffer(), Number(address & OFFSET_MASK))
    if (bytes.length > bytesMax) {
      throw new Error(`${what} was given ${bytes.length} bytes, at most ${bytesMax} a call`)
    }
    return bytes
  }

  #text(context: CurrentPlugin, address: bigint, what: string): string {
    return decodeText(this.#block(context, address, what, CALL_BYTES_MAX))
  }

  #inputView(): DataView {
    const { buffer, byteOffset, byteLength } = this.#input
    this.#inputReader ??= new DataView(buffer, byteOffset, byteLength)
    return this.#inputReader
  }

  #output(context: CurrentPlugin, address: bigint, length: bigint): undefined {
    const count = Number(BigInt.asUintN(64, length))
    const block = this.#block(context, address, 'output_set', PDK_BYTES_MAX)
    if (count > block.length || count > OUTPUT_BYTES_MAX) {
      const most = Math.min(block.length, OUTPUT_BYTES_MAX)
      throw new Error(`output_set was given ${count} bytes, at most ${most}`)
    }
    this.#host.outputOfPdk(block.slice(0, count))
  }

  #variableSet(context: CurrentPlugin, key: bigint, value: bigint): undefined {
    const name = this.#text(context, key, 'var_set')
    const { variables } = this.#host.belongings
    if (value === 0n) variables.delete(name)
    else if (!variables.set(name, this.#block(context, value, 'var_set', PDK_BYTES_MAX).slice(), 0))
      throw new Error('var_set went over the budget of variables')
  }

  #found(context: CurrentPlugin, value: Uint8Array | undefined): bigint {
    return value === undefined ? 0n : this.#store(context, value)
  }

  #logAt(level: JournalLevel): PdkFunction {
    const { journal } = this.#host.belongings
    return (context, address) => {
      journal.write(level, this.#block(context, address!, `log_${level}`, PDK_BYTES_MAX))
      return undefined
    }
  }

  /** The functions that stand before the SDK's own. */
  imports(): Readonly<Record<string, PdkFunction>> {
    const { belongings } = this.#host
    const http: PdkFunction = () => {
      throw new Error('HTTP is not granted to plugins')
    }
    return {
      alloc: (context, bytes) => this.#alloc(context, bytes!),
      input_offset: (context) => {
        if (this.#inputAddress === 0n) this.#inputAddress = this.#store(context, this.#input)
        return this.#inputAddress
      },
      input_length: () => BigInt(this.#input.length),
      input_load_u8: (_context, at) => this.#inputView().getUint8(Number(at! & OFFSET_MASK)),
      input_load_u64: (_context, at) =>
        this.#inputView().getBigUint64(Number(at! & OFFSET_MASK), true),
      output_set: (context, address, length) => this.#output(context, address!, length!),
      error_set: (context, address) => {
        this.error = this.#text(context, address!, 'error_set')
        return undefined
      },
      config_get: (context, key) => {
        const name = this.#text(context, key!, 'config_get')
        return this.#found(context, name === '' ? undefined : belongings.config.get(name))
      },
      var_get: (context, key) =>
        this.#found(context, belongings.variables.get(this.#text(context, key!, 'var_get'))),
      var_set: (context, key, value) => this.#variableSet(context, key!, value!),
      log_trace: this.#logAt('trace'),
      log_debug: this.#logAt('debug'),
      log_info: this.#logAt('info'),
      log_warn: this.#logAt('warn'),
      log_error: this.#logAt('error'),
      get_log_level: () => LEVEL_TRACE,
      http_request: http,
      http_status_code: http,
      http_headers: http,
    }
  }
}
