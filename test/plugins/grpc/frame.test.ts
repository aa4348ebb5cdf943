/** The prefix of gRPC's messages, written and read, however the bytes are cut. */
import { describe, expect, test } from 'bun:test'
import { FrameReader, framed } from '../../../src/plugins/grpc/frame.ts'

const MESSAGE = Uint8Array.of(1, 2, 3, 4)

describe('a frame', () => {
  test('is five bytes, uncompressed, and the message', () => {
    expect([...framed(MESSAGE)]).toEqual([0, 0, 0, 0, 4, 1, 2, 3, 4])
    expect([...framed(new Uint8Array(0))]).toEqual([0, 0, 0, 0, 0])
    expect(framed(new Uint8Array(70_000)).readUInt32BE(1)).toBe(70_000)
  })

  test('is read back wherever it is cut', () => {
    const whole = framed(MESSAGE)
    for (let cut = 0; cut <= whole.length; cut++) {
      const reader = new FrameReader(4)
      expect(reader.push(whole.subarray(0, cut))).toBeNull()
      expect(reader.push(whole.subarray(cut))).toBeNull()
      expect(new Uint8Array(reader.take() ?? [])).toEqual(MESSAGE)
    }
  })

  test('that came in one piece is not copied', () => {
    const whole = framed(MESSAGE)
    const reader = new FrameReader(4)
    reader.push(whole)
    expect(reader.take()?.buffer).toBe(whole.buffer)
  })
})

describe('a reader', () => {
  test('gives nothing while something is missing, and says how much there is', () => {
    const reader = new FrameReader(4)
    expect(reader.progress).toBe('without a message')
    reader.push(Buffer.from([0, 0]))
    expect(reader.take()).toBeNull()
    expect(reader.progress).toBe('after 2 of the 5 bytes of a prefix')
    reader.push(Buffer.from([0, 0, 3, 9]))
    expect(reader.take()).toBeNull()
    expect(reader.progress).toBe('after 1 of 3 bytes')
  })

  test('refuses what is too long by its length alone', () => {
    expect(new FrameReader(4).push(framed(MESSAGE))).toBeNull()
    const fault = new FrameReader(3).push(framed(MESSAGE).subarray(0, 5))
    expect(fault?.kind).toBe('tooLong')
    expect(fault?.words).toContain('resultBytesMax (3)')
  })

  test('refuses what is compressed, and what comes behind the message', () => {
    expect(new FrameReader(4).push(Buffer.from([1, 0, 0, 0, 0]))?.kind).toBe('compressed')
    const reader = new FrameReader(4)
    reader.push(framed(MESSAGE))
    expect(reader.push(Buffer.from([0]))?.kind).toBe('several')
  })
})
