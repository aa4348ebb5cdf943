/** Proves what the benchmarks stand on: the arithmetic, the reading of others, the drivers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { MessageWalker, readCopy } from '../bench/copy.ts'
import { createTables, readPgbench } from '../bench/driver.ts'
import { runLoad } from '../bench/load.ts'
import { readOptions } from '../bench/options.ts'
import { peakMemoryBytes, processorMicros } from '../bench/processor.ts'
import {
  aligned,
  figureOf,
  GOALS,
  type Goal,
  geometricMean,
  judge,
  judgementLine,
  median,
  type Row,
  ratioOf,
  tables,
} from '../bench/report.ts'
import type { TargetName } from '../bench/targets.ts'
import { concat, message } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'

function row(target: TargetName, round: number, perSecond: number, more: Partial<Row> = {}): Row {
  const common = { cell: 'simple 1', unit: 'query', count: 1, microsEach: null, error: null }
  return { target, round, perSecond, ...common, ...more }
}

test('medians and geometric means', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(geometricMean([1, 4])).toBeCloseTo(2)
  expect(() => median([])).toThrow('the median of nothing')
  expect(() => geometricMean([])).toThrow('the geometric mean of nothing')
})

describe('a comparison', () => {
  const rows = [
    row('haproxy', 1, 100),
    row('postern', 1, 110),
    row('haproxy', 2, 50),
    row('postern', 2, 45),
    row('haproxy', 3, 200),
    row('postern', 3, 200),
  ]

  test('divides within a round, so that a slow round counts for no one', () => {
    expect(ratioOf(rows, 'simple 1', ['postern', 'haproxy'], 'perSecond')).toBe(1)
    expect(figureOf(rows, 'simple 1', 'postern', 'perSecond')).toBe(110)
  })

  test('has no figure for what was not measured', () => {
    expect(figureOf(rows, 'simple 1', 'wasm', 'perSecond')).toBeNull()
    expect(ratioOf(rows, 'simple 1', ['postern', 'haproxy'], 'microsEach')).toBeNull()
    expect(ratioOf(rows, 'simple 1', ['wasm', 'postern'], 'perSecond')).toBeNull()
  })

  test('has no figure where one round has failed', () => {
    const failed = [...rows, row('postern', 4, 0, { error: 'refused' })]
    expect(figureOf(failed, 'simple 1', 'postern', 'perSecond')).toBeNull()
    expect(ratioOf(failed, 'simple 1', ['postern', 'haproxy'], 'perSecond')).toBeNull()
  })

  test('is shown as two tables', () => {
    const shown = tables(rows, ['haproxy', 'postern'])
    expect(shown).toContain('a second  haproxy  /dir  postern  /dir   /hap')
    expect(shown).toContain('simple 1      100     -      110     -  1.000')
  })
})

describe('a judgement', () => {
  const [throughput, cost] = GOALS
  const goal = (one: Goal | undefined): Goal => {
    if (one === undefined) throw new Error('no such goal')
    return one
  }
  const pair = (cell: string, ratio: number, more: Partial<Row> = {}): Row[] => [
    row('haproxy', 1, 100, { cell, microsEach: 10 }),
    row('postern', 1, 100 * ratio, { cell, microsEach: 10 * ratio, ...more }),
  ]

  test('is good where the mean and the worst cell are', () => {
    const found = judge([...pair('a', 1), ...pair('b', 0.96)], goal(throughput))
    expect(found).toMatchObject({ isMet: true, worst: { cell: 'b' } })
  })

  test('is bad where the mean is', () => {
    expect(judge([...pair('a', 0.95), ...pair('b', 0.96)], goal(throughput))?.isMet).toBeFalse()
  })

  test('is bad where one cell is, and names it', () => {
    const found = judge([...pair('a', 1.2), ...pair('b', 0.85)], goal(throughput))
    if (found === null) throw new Error('not judged')
    expect(found.isMet).toBeFalse()
    expect(judgementLine(found)).toStartWith('NOT MET: throughput, postern / haproxy')
    expect(judgementLine(found)).toContain('worst 0.850 in b (at least 0.90)')
  })

  test('of cost takes the highest as the worst', () => {
    const found = judge([...pair('a', 1), ...pair('b', 1.2)], goal(cost))
    expect(found).toMatchObject({ isMet: false, worst: { cell: 'b' } })
  })

  test('is bad where a cell has failed', () => {
    const rows = [...pair('a', 1), ...pair('b', 1, { error: 'refused' })]
    expect(judge(rows, goal(throughput))?.isMet).toBeFalse()
  })

  test('is not made about what was not measured', () => {
    expect(judge([row('direct', 1, 1)], goal(throughput))).toBeNull()
  })
})

test('columns are aligned: the first to the left, figures to the right', () => {
  expect(
    aligned([
      ['a', 'figure'],
      ['longer', '1'],
    ]),
  ).toBe('a       figure\nlonger       1')
})

describe('the report of pgbench', () => {
  const printed = `number of transactions actually processed: 4242
number of failed transactions: 0 (0.000%)
latency average = 0.236 ms
tps = 1414.131415 (without initial connection time)
`
  test('is read', () => {
    expect(readPgbench(printed)).toEqual({ transactions: 4242, perSecond: 1414.131415 })
  })
  test('is refused where transactions have failed, or figures are missing', () => {
    expect(() => readPgbench(printed.replace(': 0 (', ': 7 ('))).toThrow('failed transactions')
    expect(() => readPgbench('')).toThrow('no figures')
  })
})

test('messages are followed through chunks that are cut at every byte', () => {
  const seen: string[] = []
  const walker = new MessageWalker((type) => seen.push(String.fromCharCode(type)))
  const bytes = concat(
    message('d', new Uint8Array(300)),
    message('c'),
    message('Z', new Uint8Array(1)),
  )
  for (const byte of bytes) walker.walk(Uint8Array.of(byte))
  walker.walk(bytes)
  expect(seen.join('')).toBe('dcZdcZ')
})

test('the cost of a process grows with its work, and its peak memory is known', () => {
  const before = processorMicros([process.pid])
  let sum = 0
  for (let turn = 0; turn < 5_000_000; turn++) sum += turn
  expect(sum).toBeGreaterThan(0)
  expect(processorMicros([process.pid])).toBeGreaterThan(before)
  expect(peakMemoryBytes(process.pid)).toBeGreaterThan(10_000_000)
})

test('options are read, and wrong ones are named', () => {
  expect(readOptions(['-T', '1', '--clients', '2,4'])).toMatchObject({
    part: 'comparison',
    seconds: 1,
    clients: [2, 4],
  })
  expect(readOptions(['--memory']).part).toBe('memory')
  expect(() => readOptions(['--rounds', '0'])).toThrow('--rounds')
  expect(() => readOptions(['--targets', 'nobody'])).toThrow('nobody is none of direct')
  expect(() => readOptions(['--nonsense'])).toThrow('--nonsense')
})

describe('against PostgreSQL', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
    await createTables(server)
  })
  afterAll(() => server.stop())

  test.each(['simple', 'prepared', 'connect'] as const)('our own driver: %s', async (kind) => {
    const { host, port, user, database } = server
    const load = { host, port, user, database, kind, clients: 2, seconds: 0.05, rows: 100_000 }
    const { transactions, perSecond } = await runLoad(load)
    expect(transactions).toBeGreaterThan(0)
    expect(perSecond).toBeGreaterThan(0)
  })

  test('a copy is read to its end, and no faster than asked', async () => {
    const fast = await readCopy({ ...server, megabytes: 2 })
    expect(fast.bytes).toBeGreaterThan(2_000_000)
    const slow = await readCopy({ ...server, megabytes: 2, bytesPerSecond: 10e6 })
    expect(slow.bytes).toBe(fast.bytes)
    expect(slow.seconds).toBeGreaterThan(0.15)
  })

  test('a copy that the server refuses is an error', async () => {
    await expect(readCopy({ ...server, database: 'nowhere', megabytes: 1 })).rejects.toThrow()
  })
})
