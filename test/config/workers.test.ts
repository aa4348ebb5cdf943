/** How many workers there are, and how limits are shared by them. */
import { expect, test } from 'bun:test'
import { availableParallelism } from 'node:os'
import { loadConfig } from '../../src/config/load.ts'
import {
  configOfWorker,
  refuseOtherWorkers,
  refuseTooManyWorkers,
  shareOf,
  workersOf,
} from '../../src/config/workers.ts'
import { filesOf } from './golden.ts'

const MIB = 1_048_576

function loadedWith(tree: unknown) {
  return loadConfig({ env: {}, readFile: filesOf({ 'postern.yaml': JSON.stringify(tree) }) })
}

test('auto is one for each processor', () => {
  expect(workersOf({ workers: 'auto' })).toBe(availableParallelism())
  expect(workersOf({ workers: 3 })).toBe(3)
})

test('shares of a limit are whole, nearly the same, and add up to it', () => {
  const shares = (limit: number, workers: number) =>
    Array.from({ length: workers }, (_, worker) => shareOf(limit, worker, workers))
  expect(shares(10, 3)).toEqual([4, 3, 3])
  expect(shares(4, 4)).toEqual([1, 1, 1, 1])
  expect(shares(7, 2)).toEqual([4, 3])
})

test('bytes held are divided, but for a message that is permitted', () => {
  const server = { messageBytesMax: 16 * MIB, bufferedBytesMax: 100 * MIB }
  const servers = { default: server, other: { ...server, address: '127.0.0.1:1' } }
  const { config } = loadedWith({ servers, clients: { other: { writes: {} } } })
  expect(configOfWorker(config, 0, 2).servers.default.bufferedBytesMax).toBe(50 * MIB)
  const of = configOfWorker(config, 1, 10)
  expect(of.servers['other']?.bufferedBytesMax).toBe(16 * MIB)
  expect(of.servers.default.sessionsMax).toBe(config.servers.default.sessionsMax)
})

test('a pool with fewer connections than workers is refused by name', () => {
  const pool = (size: number, mode = 'session') =>
    loadedWith({ workers: 4, pools: { default: { writes: { size, mode } } } }).config
  expect(() => refuseTooManyWorkers(pool(3))).toThrow(
    'pools.default.writes.size: 3 connections cannot be shared by 4 workers, of which each needs ' +
      'one at least; make it 4 or more, or set fewer workers',
  )
  expect(() => refuseTooManyWorkers(pool(4))).not.toThrow()
  expect(() => refuseTooManyWorkers(pool(3, 'none'))).not.toThrow()
})

test('datagrams are served by one process', () => {
  const { config } = loadedWith({ workers: 2 })
  const servers = { default: { ...config.servers.default, network: 'udp' as const } }
  expect(() => refuseTooManyWorkers({ ...config, servers })).toThrow(
    'servers.default.network: udp is served by one process, not by 2; set workers: 1',
  )
})

test('another number of workers needs a restart', () => {
  const [two, three] = [2, 3].map((workers) => loadedWith({ workers }).config)
  expect(() => refuseOtherWorkers(two!, three!)).toThrow(
    'workers: 2 cannot become 3; restart for it',
  )
  expect(() => refuseOtherWorkers(two!, two!)).not.toThrow()
})
