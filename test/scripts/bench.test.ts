/** Proves what the benchmarks stand on: the arithmetic, the reading of others, the drivers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { connectCells, copyCells, pluginCells } from '../bench/cells.ts'
import { compare } from '../bench/comparison.ts'
import { MessageWalker, readCopy, writeCopy } from '../bench/copy.ts'
import { createTables, findDriver, readPgbench, readTimes } from '../bench/driver.ts'
import { idleTable, isIdleMet, measureIdle } from '../bench/idle.ts'
import { judgeLatency, percentile } from '../bench/latency.ts'
import { runLoad } from '../bench/load.ts'
import { readOptions } from '../bench/options.ts'
import {
  memoryBytes,
  peakMemoryBytes,
  processorMicros,
  resetPeakMemory,
} from '../bench/processor.ts'
import {
  aligned,
  figureOf,
  GOALS,
  type Goal,
  geometricMean,
  judge,
  judgementLine,
  median,
  peakOf,
  type Row,
  ratioOf,
  tables,
} from '../bench/report.ts'
import { SUITES } from '../bench/suites.ts'
import { PLAIN, startTarget, type TargetName } from '../bench/targets.ts'
import { concat, message } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'

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
    const found = judge([...pair('a', 1.1), ...pair('b', 0.96)], goal(throughput))
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
    expect(judgementLine(found)).toContain('worst 0.850 in b (at least 0.93)')
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

test('the peak of memory can begin anew', () => {
  const before = peakMemoryBytes(process.pid)
  const block = Buffer.alloc(64_000_000, 1)
  expect(peakMemoryBytes(process.pid)).toBeGreaterThan(memoryBytes(process.pid) - 1_000_000)
  expect(block.length).toBe(64_000_000)
  resetPeakMemory(process.pid)
  const after = peakMemoryBytes(process.pid)
  expect(after).toBeGreaterThan(10_000_000)
  expect(Math.abs(after - memoryBytes(process.pid))).toBeLessThan(16_000_000)
  expect(before).toBeGreaterThan(0)
})

describe('latency', () => {
  test('is read from the log of pgbench, in which it is the third column', () => {
    const log = '0 1 812 0 1795698744 123456 15\n1 1 1204 0 1795698744 123999 3\n'
    expect(readTimes(log)).toEqual([812, 1204])
    expect(() => readTimes('0 1 skipped 0 1795698744 123456 15\n')).toThrow('without times')
  })

  test('of so many percent is the least that holds for them', () => {
    const times = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect([50, 95, 99, 100].map((percent) => percentile(times, percent))).toEqual([
      50, 95, 99, 100,
    ])
    expect(percentile([7], 1)).toBe(7)
    expect(() => percentile([], 50)).toThrow('a percentile of nothing')
  })

  test('is judged by its tail', () => {
    const pair = (cell: string, ratio: number): Row[] => [
      row('haproxy', 1, 100, { cell, microsEach: 100 }),
      row('postern', 1, 100, { cell, microsEach: 100 * ratio }),
    ]
    expect(
      judgeLatency([...pair('simple 1 p50', 3), ...pair('simple 1 p99', 1.1)])?.isMet,
    ).toBeTrue()
    expect(judgeLatency(pair('simple 1 p99', 1.3))?.isMet).toBeFalse()
    expect(judgeLatency(pair('simple 1 p50', 1))).toBeNull()
  })
})

describe('another comparison', () => {
  const rows = [
    row('pgbouncer', 1, 100, { microsEach: 20, peakMegabytes: 10 }),
    row('postern', 1, 150, { microsEach: 15, peakMegabytes: 90 }),
    row('postern', 2, 150, { microsEach: 15, peakMegabytes: 95.5 }),
  ]

  test('has another peer, and no database where that was not measured', () => {
    const shown = tables(rows.slice(0, 2), ['pgbouncer', 'postern'], 'pgbouncer')
    expect(shown).toContain('a second  pgbouncer  postern   /pgb')
    expect(shown).toContain('simple 1        100      150  1.500')
    expect(shown).toContain('simple 1, a query       20.0     15.0  0.750')
  })

  test('shows the highest peak of memory', () => {
    expect(peakOf(rows, 'postern')).toBe(95.5)
    expect(peakOf(rows, 'haproxy')).toBeNull()
    expect(tables(rows, ['pgbouncer', 'postern'])).toContain('peak MB   pgbouncer  postern')
  })

  test('asks for what its goals are about', () => {
    const driver = { name: 'none', run: () => Promise.reject(new Error('not asked')) }
    const asked = { driver, seconds: 1, clients: [1, 8], copyMegabytes: 1, tls: false }
    for (const suite of Object.values(SUITES)) {
      expect(suite.cells(asked)).not.toBeEmpty()
      for (const { pair } of suite.goals) expect(suite.targets).toContainValues([...pair])
      expect(suite.targets).toContain(suite.peer)
    }
    expect(SUITES.copy.cells(asked).map(({ name }) => name)).toEqual([
      'plain out',
      'plain in',
      'TLS out',
      'TLS in',
    ])
  })
})

test("idle sessions are judged by the gateway's", () => {
  const one = (target: TargetName, bytesEach: number) => ({
    ...{ target, bytesEach },
    ...{ round: 1, megabytes: 80 },
  })
  expect(isIdleMet([one('haproxy', 9_000), one('postern', 6_000)])).toBeTrue()
  expect(isIdleMet([one('postern', 6_200)])).toBeFalse()
  expect(idleTable([one('postern', 6_000)])).toContain('postern             6000       80.0')
})

test('options are read, and wrong ones are named', () => {
  expect(readOptions(['-T', '1', '--clients', '2,4'])).toMatchObject({
    part: 'comparison',
    seconds: 1,
    clients: [2, 4],
  })
  expect(readOptions(['--memory']).part).toBe('memory')
  expect(readOptions(['--tls']).part).toBe('tls')
  expect(readOptions(['--copy-gb'])).toMatchObject({ part: 'copy-gb', copyMegabytes: 1_000 })
  expect(readOptions([])).toMatchObject({ part: 'comparison', copyMegabytes: 256, targets: null })
  expect(readOptions(['--idle', '--sessions', '20'])).toMatchObject({ part: 'idle', sessions: 20 })
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

  test('a copy is sent to its end, and nothing of it is kept', async () => {
    const { bytes, seconds } = await writeCopy({ ...server, megabytes: 2 })
    expect(bytes).toBeGreaterThan(2_000_000)
    expect(seconds).toBeGreaterThan(0)
    using wire = await openSession(server)
    expect(await wire.rows('select count(*) from copy_sink')).toEqual([['0']])
  })

  test('a copy with TLS is an error where there is none', async () => {
    const copy = writeCopy({ ...server, megabytes: 1, tls: true })
    await expect(copy).rejects.toThrow('no TLS is offered')
  })

  test.each(['hot', 'wide'])('the script %s asks the same of every driver', async (script) => {
    const setting = { database: server, plugin: '', setting: PLAIN }
    const target = await startTarget('direct', setting)
    // pgbench knows whole seconds only.
    for (const [driver, seconds] of [
      [{ name: 'own', run: runLoad }, 0.05],
      [findDriver(), 1],
    ] as const) {
      const options = { driver, seconds, clients: [2], copyMegabytes: 1, tls: false }
      const cells = pluginCells(options).filter(({ name }) => name.startsWith(script))
      expect(cells.map(({ name }) => name)).toEqual([`${script} simple`, `${script} prepared`])
      for (const cell of cells) {
        const { count, perSecond } = await cell.measure(target, server)
        expect(count).toBeGreaterThan(script === 'wide' ? 1000 : 1)
        expect(perSecond).toBeGreaterThan(1)
      }
    }
  })

  test('a goal may be about one cell alone', () => {
    const rows = [
      row('direct', 1, 100, { cell: 'hot simple' }),
      row('cached', 1, 210, { cell: 'hot simple' }),
      row('direct', 1, 100, { cell: 'hot prepared' }),
      row('cached', 1, 100, { cell: 'hot prepared', error: 'refused' }),
    ]
    const found = SUITES.plugins.goals.map((goal) => judge(rows, goal))
    const simple = found.find((one) => one?.goal.cell === 'hot simple')
    expect(simple).toMatchObject({ isMet: true, mean: 2.1 })
    const prepared = SUITES.plugins.goals.find(({ cell }) => cell === 'hot prepared')
    expect(prepared === undefined ? undefined : judge(rows, prepared)).toBeNull()
  })

  test('cells run on a target, round for round', async () => {
    const driver = { name: 'own', run: runLoad }
    const options = { driver, seconds: 0.05, clients: [2], copyMegabytes: 1, tls: false }
    const setting = { database: server, plugin: '', setting: PLAIN }
    const target = await startTarget('direct', setting)
    const kept: Row[] = []
    const rows = await compare({
      server,
      targets: [target],
      cells: [...connectCells(options), ...copyCells(1)],
      rounds: 1,
      say: () => {},
      keep: (one) => kept.push(one),
    })
    expect(kept).toEqual(rows)
    expect(rows.map(({ cell, error }) => ({ cell, error }))).toEqual([
      { cell: 'connect 2', error: null },
      { cell: 'plain out', error: null },
      { cell: 'plain in', error: null },
    ])
  })
})

const HAS_BUILD = existsSync(join(import.meta.dir, '../../dist/postern'))
test.skipIf(!HAS_BUILD)('idle sessions are held and counted (needs a build)', async () => {
  const bench = { targets: ['postern'] as const, sessions: 60, rounds: 1, plugin: '' }
  const [found] = await measureIdle({ ...bench, settleMs: 10, say: () => {} })
  expect(found).toMatchObject({ target: 'postern', round: 1 })
  expect(found?.megabytes).toBeGreaterThan(10)
})
