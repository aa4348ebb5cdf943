/**
 * What Extism's PDKs import from `extism:host/env`. The SDK's own answers would need its call with
 * promises, have no limit, or cannot be timed; so all of them are given here.
 */
import { Blocks } from './blocks.ts'
import type { Deadline } from './deadline.ts'
import type { Host } from './host.ts'
import type { JournalLevel } from './journal.ts'
import { CALL_BYTES_MAX, PDK_BYTES_MAX } from './limits.ts'
import { decodeText } from './memory.ts'
import { reserveStack, SMALL_FRAMES } from './stack.ts'
import { Trap } from './trap.ts'

/** A function of `extism:host/env` as the SDK binds it: its own context comes first. */
export type PdkFunction = (context: unknown, ...args: bigint[]) => bigint | number | undefined
type PdkFunctions = Readonly<Record<string, PdkFunction>>

const NOTHING = new Uint8Array(0)
/** The host decides by level, so guests are told to send everything: Extism's 0 is `trace`. */
const LEVEL_TRACE = 0

/** The present call as a PDK sees it. */
export class PdkCall {
  readonly #host: Host
  readonly #blocks = new Blocks()
  #input: Uint8Array = NOTHING
  #inputReader: DataView | null = null
  #inputAddress = 0n
  /** The PDK's error, or "". */
  error = ''

  constructor(host: Host) {
    this.#host = host
  }

  begin(input: Uint8Array): void {
    this.#input = input
    this.#inputReader = null
    this.#inputAddress = 0n
    this.error = ''
  }

  /** Frees all memory of the call. */
  end(): void {
    this.#input = NOTHING
    this.#inputReader = null
    this.#blocks.clear()
  }

  /** The functions, none of which returns to a guest whose time is over. */
  imports(deadline: Deadline): PdkFunctions {
    const timed: Record<string, PdkFunction> = {}
    const all = { ...this.#blockImports(), ...this.#inputImports(), ...this.#callImports() }
    for (const [name, run] of Object.entries(all)) {
      timed[name] = (context, a, b) => {
        const answer = run(context, a!, b!)
        deadline.check()
        return answer
      }
    }
    return timed
  }

  /** The block at an address as bytes, borrowed; empty for address 0. */
  #bytes(address: bigint, what: string, bytesMax: number): Uint8Array {
    const bytes = this.#blocks.bytes(address, what)
    if (bytes.length <= bytesMax) return bytes
    const sentence = `${what} was given ${bytes.length} bytes, at most ${bytesMax} a call`
    throw new Trap('limit', sentence, 'hostCallBytesMax')
  }

  #text(address: bigint, what: string): string {
    return decodeText(this.#bytes(address, what, CALL_BYTES_MAX))
  }

  /** The input at an offset, of which `count` bytes are wanted. */
  #inputAt(offset: bigint, count: number): readonly [DataView, number] {
    const { buffer, byteOffset, byteLength } = this.#input
    const place = Number(offset)
    if (!(place >= 0 && place + count <= byteLength)) {
      const sentence = `the input of ${byteLength} bytes was read at ${place}`
      throw new Trap('pointer', sentence)
    }
    this.#inputReader ??= new DataView(buffer, byteOffset, byteLength)
    return [this.#inputReader, place]
  }

  #output(address: bigint, length: bigint): undefined {
    const { outputBytesMax } = this.#host.belongings.limits
    const count = Number(BigInt.asUintN(64, length))
    const block = this.#bytes(address, 'output_set', PDK_BYTES_MAX)
    if (count > block.length) {
      const sentence = `output_set was given ${count} bytes, at most ${block.length}`
      throw new Trap('pointer', sentence)
    }
    if (count > outputBytesMax) {
      const sentence = `output_set was given ${count} bytes, at most ${outputBytesMax}`
      throw new Trap('limit', sentence, 'outputBytesMax')
    }
    this.#host.outputOfPdk(block.slice(0, count))
  }

  #variableSet(key: bigint, value: bigint): undefined {
    const name = this.#text(key, 'var_set')
    const { variables } = this.#host.belongings
    reserveStack(SMALL_FRAMES)
    if (value === 0n) variables.delete(name)
    else if (!variables.set(name, this.#bytes(value, 'var_set', PDK_BYTES_MAX).slice(), 0)) {
      throw new Trap('limit', 'var_set went over the budget of variables', 'variablesBytesMax')
    }
  }

  #found(value: Uint8Array | undefined): bigint {
    return value === undefined ? 0n : this.#blocks.store(value)
  }

  #logAt(level: JournalLevel): PdkFunction {
    const { journal } = this.#host.belongings
    return (_context, address) => {
      journal.write(level, this.#bytes(address!, `log_${level}`, PDK_BYTES_MAX))
      return undefined
    }
  }

  #blockImports(): PdkFunctions {
    const blocks = this.#blocks
    const length: PdkFunction = (_context, address) => blocks.length(address!)
    return {
      alloc: (_context, count) => blocks.alloc(count!),
      free: (_context, address) => {
        blocks.free(address!)
        return undefined
      },
      length,
      length_unsafe: length,
      load_u8: (_context, address) => blocks.loadByte(address!),
      load_u64: (_context, address) => blocks.loadWord(address!),
      store_u8: (_context, address, value) => {
        // An i32, which is a number already.
        blocks.storeByte(address!, Number(value))
        return undefined
      },
      store_u64: (_context, address, value) => {
        blocks.storeWord(address!, value!)
        return undefined
      },
    }
  }

  #inputImports(): PdkFunctions {
    return {
      input_offset: () => {
        if (this.#inputAddress === 0n) this.#inputAddress = this.#blocks.store(this.#input)
        return this.#inputAddress
      },
      input_length: () => BigInt(this.#input.length),
      input_load_u8: (_context, offset) => {
        const [reader, place] = this.#inputAt(offset!, 1)
        return reader.getUint8(place)
      },
      input_load_u64: (_context, offset) => {
        const [reader, place] = this.#inputAt(offset!, 8)
        return reader.getBigUint64(place, true)
      },
    }
  }

  #callImports(): PdkFunctions {
    const { belongings } = this.#host
    const http: PdkFunction = () => {
      throw new Trap('other', 'HTTP is not granted to plugins')
    }
    return {
      output_set: (_context, address, length) => this.#output(address!, length!),
      error_set: (_context, address) => {
        this.error = this.#text(address!, 'error_set')
        return undefined
      },
      config_get: (_context, key) => {
        const name = this.#text(key!, 'config_get')
        return this.#found(name === '' ? undefined : belongings.config.get(name))
      },
      var_get: (_context, key) =>
        this.#found(belongings.variables.get(this.#text(key!, 'var_get'))),
      var_set: (_context, key, value) => this.#variableSet(key!, value!),
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
