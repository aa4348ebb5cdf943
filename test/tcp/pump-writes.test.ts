/** Which bytes of a read are written together, and which by themselves. */
import { describe, expect, test } from 'bun:test'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import type { Flow } from '../../src/protocols/protocol.ts'
import { Outlet } from '../../src/tcp/outlet.ts'
import { Pump } from '../../src/tcp/pump.ts'
import { bytesOf, textOf } from '../hooks/rig.ts'
import { type Decide, parts, patient, settle } from './pump-bench.ts'

/** A flow that cuts chunks of two bytes: a small letter passes, a capital one is for the steps. */
function cutting(): Flow {
  let rest = bytesOf('')
  const flow: Flow = {
    bytes: rest,
    over: false,
    violation: '',
    full: false,
    pass: () => null,
    push: (chunk) => {
      rest = chunk
    },
    next: () => {
      if (rest.length === 0) return 'none'
      Object.assign(flow, { bytes: rest.length <= 2 ? rest : rest.subarray(0, 2) })
      rest = rest.subarray(2)
      return flow.bytes[0]! < 0x60 ? 'unit' : 'pass'
    },
    end: () => {},
    streamOversize: () => {},
    dropOversize: () => {},
    forward: (bytes) => bytes,
    deny: () => null,
    share: () => 'whole',
    parts: (bytes) => [{ bytes, wanted: true }],
    flaw: () => null,
    release: () => {},
  }
  return flow
}

/** An outlet whose writes are noted one by one. */
function outletInto(writes: string[]): Outlet {
  return new Outlet({
    write: (bytes) => {
      writes.push(textOf(bytes))
      return bytes.length
    },
  })
}

describe('what was read in one piece', () => {
  function gathering(decide: Decide) {
    const writes: string[] = []
    const { hooks, owner, told } = parts(decide)
    const pump = new Pump(cutting(), null, hooks, owner)
    pump.writeTo(outletInto(writes))
    pump.start()
    return { pump, writes, told }
  }

  test('is written in one piece, whoever looked at parts of it', () => {
    const { pump, writes } = gathering(() => CONTINUE)
    pump.feed(bytesOf('aaBBccDD'))
    expect(writes).toEqual(['aaBBccDD'])
  })

  test('keeps its order around what is replaced or taken away', () => {
    const { pump, writes } = gathering((text) =>
      text === 'BB' ? { kind: 'replace', bytes: bytesOf('xyz') } : { kind: 'continue' },
    )
    pump.feed(bytesOf('aabbBBccDDBB'))
    expect(writes).toEqual(['aabb', 'xyz', 'ccDD', 'xyz'])
  })

  test('goes on at once where a step must be waited for', async () => {
    const { decide, waiting } = patient()
    const { pump, writes } = gathering(decide)
    pump.feed(bytesOf('aabbCCdd'))
    expect(writes).toEqual(['aabb'])
    waiting.shift()!(CONTINUE)
    await settle()
    expect(writes.join('')).toEqual('aabbCCdd')
  })

  test('goes before the last words of a session that a step ends', () => {
    const { pump, writes, told } = gathering(() => ({ kind: 'close' }))
    pump.feed(bytesOf('aabbCC'))
    pump.stop()
    expect([writes, told]).toEqual([['aabb'], ['close ']])
  })

  test('goes to the outlet that was there when it was read', () => {
    const later: string[] = []
    const { pump, writes } = gathering(() => {
      pump.writeTo(outletInto(later))
      return CONTINUE
    })
    pump.feed(bytesOf('aaBBcc'))
    expect([writes, later]).toEqual([['aa'], ['BBcc']])
  })
})
