/** A disk that is full of something else: the log is lost in part and says so, traffic is not. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mustRun, run } from '../../kit/command.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { auditPlugins, startBefore, until } from '../../kit/traffic.ts'
import { openSession } from '../../kit/wire.ts'
import { mustBeUnharmed, processorMsOf, weigh } from './scene.ts'

setDefaultTimeout(60_000)

const QUERIES = 300
const DISK_BYTES = 256 * 1024
const PAGE_BYTES = 4096

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

/** A gateway whose log of every statement goes to this file. */
function startLoggingTo(fileName: string): Promise<RunningGateway> {
  const top = { loggers: { default: { output: ['file'], fileName } } }
  return startBefore(server, { top, plugins: auditPlugins({ connections: false }) })
}

async function isServed(gateway: RunningGateway): Promise<void> {
  using wire = await openSession({ ...server, port: gateway.port })
  for (let count = 0; count < QUERIES; count++) {
    expect(await wire.rows(`select ${count}`)).toEqual([[String(count)]])
  }
}

test('traffic goes on while no line of the log can be written', async () => {
  await using gateway = await startLoggingTo('/dev/full')
  const before = await weigh(gateway)
  await isServed(gateway)
  const usedMs = processorMsOf(gateway.pid)
  await Bun.sleep(300)
  expect(processorMsOf(gateway.pid) - usedMs).toBeLessThan(150)
  await mustBeUnharmed(gateway, before)
  expect((await gateway.stop()).status).toBe(0)
})

/** How many statements a log tells of, and how many of its lines it says were lost. */
function toldOrLost(text: string): number {
  const whole = text.split('\n').filter((line) => line.endsWith('}'))
  const records: { message: string; count?: number }[] = whole.map((line) => JSON.parse(line))
  const lost = records.filter(({ message }) => message.startsWith('log lines were lost'))
  const said = records.filter(({ message }) => message === 'statement')
  return said.length + lost.reduce((total, record) => total + (record.count ?? 0), 0)
}

/** A file system of its own, which only root may mount; null where that is not so. */
async function mountSmallDisk(folder: string): Promise<(() => Promise<void>) | null> {
  const argv = ['mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder]
  if (process.getuid?.() !== 0 || Bun.which('mount') === null) return null
  if ((await run(argv)).status !== 0) return null
  return async () => void (await mustRun(['umount', '-l', folder]))
}

const folder = mkdtempSync(join(tmpdir(), 'postern-disk-'))
const unmount = await mountSmallDisk(folder)
afterAll(async () => {
  await unmount?.()
  rmSync(folder, { recursive: true })
})

test.skipIf(unmount === null)(
  'a disk that has room again gets the log again, and how much was lost (needs root)',
  async () => {
    const fileName = join(folder, 'gateway.log')
    await using gateway = await startLoggingTo(fileName)
    const read = () => readFileSync(fileName, 'utf8')
    await until('it is ready', () => read().includes('"message":"ready"'))
    const taken = Math.ceil(read().length / PAGE_BYTES) * PAGE_BYTES
    writeFileSync(join(folder, 'filler'), new Uint8Array(DISK_BYTES - taken))
    await isServed(gateway)
    expect(read().length).toBeLessThanOrEqual(taken)
    rmSync(join(folder, 'filler'))
    await isServed(gateway)
    await until('it says what was lost', () => read().includes('log lines were lost'))
    const lines = read().trimEnd().split('\n')
    // A line may be torn where the disk was full: it stands alone, and is one of the lost ones.
    const whole = lines.filter((line) => line.endsWith('}'))
    expect(lines.length - whole.length).toBeLessThanOrEqual(1)
    // Lines share writes: the last ones come a moment after the statements that they tell of.
    await until('each is told or counted', () => toldOrLost(read()) === 2 * QUERIES)
  },
)
