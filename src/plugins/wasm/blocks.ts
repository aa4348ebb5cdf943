/**
 * The memory that an Extism PDK talks through: blocks that the host keeps for one call, at
 * addresses of which the guest only knows that it may count on from one.
 */
import { PDK_BLOCKS_MAX, PDK_BYTES_MAX } from './limits.ts'
import { Trap } from './trap.ts'

interface Block {
  readonly bytes: Uint8Array
  /** For eight bytes at once; null until they are wanted. */
  view: DataView | null
}

const NOTHING = new Uint8Array(0)
/** An address is the block's number times this, and the place within it. */
const BLOCK_SPAN = 2 ** 32
/** What a block costs the host beside its bytes. */
const BLOCK_BYTES = 64

/** The blocks of one call. Address 0 is never one. */
export class Blocks {
  /** By number; freed ones are undefined, and so is the first. */
  readonly #blocks: (Block | undefined)[] = [undefined]
  #allocated = 0

  /** A new block of zeros; its address. */
  alloc(length: bigint): bigint {
    return this.#add(Number(BigInt.asUintN(64, length)), null)
  }

  /** A new block with a copy of `bytes`; its address. */
  store(bytes: Uint8Array): bigint {
    return this.#add(bytes.length, bytes)
  }

  free(address: bigint): void {
    const index = Math.floor(Number(address) / BLOCK_SPAN)
    if (index > 0 && index < this.#blocks.length) this.#blocks[index] = undefined
  }

  /** The length of the block, 0 for an address of none. */
  length(address: bigint): bigint {
    return BigInt(this.#at(Number(address))?.bytes.length ?? 0)
  }

  /** The whole block at an address, borrowed; empty for address 0. A Trap where there is none. */
  bytes(address: bigint, what: string): Uint8Array {
    if (address === 0n) return NOTHING
    const block = this.#at(Number(address))
    if (block === undefined) throw new Trap('pointer', `${what} was given an address of no block`)
    return block.bytes.subarray(within(block, Number(address), 0, what))
  }

  loadByte(address: bigint): number {
    const at = Number(address)
    const block = this.#at(at)
    return block === undefined ? 0 : (block.bytes[within(block, at, 1, 'load_u8')] ?? 0)
  }

  loadWord(address: bigint): bigint {
    const at = Number(address)
    const block = this.#at(at)
    if (block === undefined) return 0n
    return viewOf(block).getBigUint64(within(block, at, 8, 'load_u64'), true)
  }

  storeByte(address: bigint, value: number): void {
    const at = Number(address)
    const block = this.#at(at)
    if (block !== undefined) block.bytes[within(block, at, 1, 'store_u8')] = value
  }

  storeWord(address: bigint, value: bigint): void {
    const at = Number(address)
    const block = this.#at(at)
    if (block !== undefined)
      viewOf(block).setBigUint64(within(block, at, 8, 'store_u64'), value, true)
  }

  /** Frees all of them. */
  clear(): void {
    if (this.#blocks.length === 1) return
    this.#blocks.length = 1
    this.#allocated = 0
  }

  /** Addresses too large for a double to hold are far beyond any block. */
  #at(address: number): Block | undefined {
    return this.#blocks[Math.floor(address / BLOCK_SPAN)]
  }

  #add(length: number, content: Uint8Array | null): bigint {
    // Freed ones count too: making and freeing is work as well.
    this.#allocated += length + BLOCK_BYTES
    const number = this.#blocks.length
    if (this.#allocated > PDK_BYTES_MAX || number > PDK_BLOCKS_MAX) {
      const limit = `${PDK_BYTES_MAX} bytes in ${PDK_BLOCKS_MAX} blocks`
      throw new Trap(
        'limit',
        `alloc went over the Extism memory of one call, ${limit}`,
        'pdkMemory',
      )
    }
    const bytes = content === null ? new Uint8Array(length) : content.slice()
    this.#blocks.push({ bytes, view: null })
    return BigInt(number * BLOCK_SPAN)
  }
}

function viewOf(block: Block): DataView {
  block.view ??= new DataView(block.bytes.buffer)
  return block.view
}

/** The place of `count` bytes within a block. */
function within(block: Block, address: number, count: number, what: string): number {
  const place = address % BLOCK_SPAN
  const { length } = block.bytes
  if (place + count <= length) return place
  throw new Trap('pointer', `${what} was given place ${place} of a block of ${length} bytes`)
}
