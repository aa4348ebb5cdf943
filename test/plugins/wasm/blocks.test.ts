/** The blocks of an Extism PDK: what is in them, where they end, and how many there may be. */
import { describe, expect, test } from 'bun:test'
import { Blocks } from '../../../src/plugins/wasm/blocks.ts'
import { PDK_BLOCKS_MAX, PDK_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'

describe('a block', () => {
  test('is zeros at first, and keeps what is stored at each place', () => {
    const blocks = new Blocks()
    const address = blocks.alloc(16n)
    expect(blocks.length(address)).toBe(16n)
    expect(blocks.loadWord(address + 8n)).toBe(0n)
    blocks.storeByte(address + 15n, 0x1ff)
    blocks.storeWord(address, -2n)
    expect(blocks.loadByte(address + 15n)).toBe(0xff)
    expect(blocks.loadWord(address)).toBe(0xffff_ffff_ffff_fffen)
    expect([...blocks.bytes(address, 'f')].slice(6)).toEqual([255, 255, 0, 0, 0, 0, 0, 0, 0, 255])
    expect(blocks.bytes(address + 15n, 'f')).toHaveLength(1)
  })

  test('is not read or written beyond its end', () => {
    const blocks = new Blocks()
    const address = blocks.alloc(8n)
    expect(() => blocks.loadByte(address + 8n)).toThrow('place 8 of a block of 8 bytes')
    expect(() => blocks.storeByte(address + 8n, 1)).toThrow('store_u8')
    expect(() => blocks.loadWord(address + 1n)).toThrow('load_u64')
    expect(() => blocks.storeWord(address + 1n, 1n)).toThrow('store_u64')
    expect(() => blocks.bytes(address + 9n, 'f')).toThrow('f was given place 9')
    expect(blocks.bytes(address + 8n, 'f')).toHaveLength(0)
  })

  test('that is freed, or never was, is empty and swallows what is stored', () => {
    const blocks = new Blocks()
    const freed = blocks.alloc(8n)
    blocks.free(freed)
    blocks.free(freed)
    const far = [freed, 0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n * 7n, 5n]
    for (const address of far) {
      blocks.free(address)
      blocks.storeByte(address, 1)
      blocks.storeWord(address, 1n)
      expect(blocks.loadByte(address)).toBe(0)
      expect(blocks.loadWord(address)).toBe(0n)
      expect(blocks.length(address)).toBe(0n)
      if (address !== 0n) expect(() => blocks.bytes(address, 'f')).toThrow('address of no block')
    }
    expect(blocks.bytes(0n, 'f')).toHaveLength(0)
  })

  test('is a copy of what it was made from', () => {
    const blocks = new Blocks()
    const ours = new Uint8Array([1, 2, 3])
    const address = blocks.store(ours)
    blocks.storeByte(address, 9)
    expect([...ours]).toEqual([1, 2, 3])
    expect([...blocks.bytes(address, 'f')]).toEqual([9, 2, 3])
  })
})

describe('the blocks of a call', () => {
  test('have bytes and a number that freeing does not give back', () => {
    const blocks = new Blocks()
    expect(() => blocks.alloc(BigInt(PDK_BYTES_MAX))).toThrow('memory of one call')
    expect(() => new Blocks().alloc(-1n)).toThrow('memory of one call')
    const many = new Blocks()
    for (let count = 0; count < PDK_BLOCKS_MAX; count++) many.free(many.alloc(1n))
    expect(() => many.alloc(1n)).toThrow('memory of one call')
  })

  test('are gone with it', () => {
    const blocks = new Blocks()
    const address = blocks.alloc(8n)
    blocks.clear()
    expect(blocks.length(address)).toBe(0n)
    expect(blocks.alloc(4n)).toBe(address)
  })
})
