import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Logger, pino } from 'pino'
import { GatewayError } from '../../src/base/errors.ts'
import { createLog, type LogOptions, printedTo, setLevel } from '../../src/base/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'log-'))
afterAll(() => rmSync(folder, { recursive: true }))

const LOG = join(import.meta.dir, '../../src/base/log.ts')

function flushed(log: Logger): Promise<void> {
  return new Promise((resolve) => log.flush(() => resolve()))
}

/** The records that reach a file with these options, parsed. */
async function recordsOf(name: string, options: LogOptions, write: (log: Logger) => void) {
  const fileName = join(folder, name)
  const log = createLog({ ...options, output: ['file'], fileName })
  write(log)
  await flushed(log)
  const lines = readFileSync(fileName, 'utf8').trimEnd().split('\n')
  return lines.map((line): Record<string, unknown> => JSON.parse(line))
}

/** What a program that logs prints to standard output and standard error. */
async function printed(options: LogOptions, env: Readonly<Record<string, string>> = {}) {
  const source = `import { createLog } from '${LOG}'
    const log = createLog(${JSON.stringify(options)})
    log.debug('too fine')
    log.info({ port: 5432, password: 'hidden' }, 'listening')
    log.error(new Error('surprise'), 'failed')
    process.exit(0)`
  const child = Bun.spawn([process.execPath, '-e', source], {
    env: { ...process.env, ...env },
    stderr: 'pipe',
  })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { out, err }
}

test('a record carries level, time, message, its group and its fields', async () => {
  const records = await recordsOf('record', { group: 'audit', timeFormat: 'unixms' }, (log) =>
    log.info({ port: 1 }, 'ready'),
  )
  expect(records).toEqual([
    { level: 'info', time: expect.any(Number), group: 'audit', port: 1, message: 'ready' },
  ])
  expect(Math.abs(Number(records[0]?.['time']) - Date.now())).toBeLessThan(5000)
})

test('a record that is JSON already looks as if it had been made here', async () => {
  const written: [string, (log: Logger) => void][] = [
    ['printed', (log) => printedTo(log)?.('warn', 'a \\"b\\"', '{"c":[1,"d"]}')],
    ['made', (log) => log.warn({ fields: { c: [1, 'd'] } }, 'a "b"')],
  ]
  const [printed, made] = await Promise.all(
    written.map(async ([name, write]) => {
      const fileName = join(folder, name)
      const log = createLog({ output: ['file'], fileName, timeFormat: 'unix', worker: 3 })
      const child = log.child({ plugin: 'audit', password: 'hidden' })
      write(child)
      await flushed(log)
      return readFileSync(fileName, 'utf8').replace(/"time":\d+/, '"time":0')
    }),
  )
  expect(printed).toBe(made!)
  expect(printed).toContain('"worker":3,"plugin":"audit"')
  expect(printed).not.toContain('hidden')
})

test('only a logger that was made here takes a record that is JSON already', () => {
  expect(printedTo(pino({ level: 'silent' }))).toBeNull()
})

test.each([
  ['unix', 1e9],
  ['unixms', 1e12],
  ['unixmicro', 1e15],
  ['unixnano', 1e18],
] as const)('time in the format %s has its unit', async (timeFormat, order) => {
  const [record] = await recordsOf(timeFormat, { timeFormat }, (log) => log.info('x'))
  const time = Number(record?.['time'])
  expect(time).toBeGreaterThan(order)
  expect(time).toBeLessThan(order * 10)
})

test('secrets are not printed: in fields, in child loggers, in what plugins log', async () => {
  const records = await recordsOf('secrets', {}, (log) => {
    log.info({ password: 'hidden', fields: { a: { token: 'hidden' } } }, 'x')
    log.child({ secret: 'hidden', plugin: 'p' }).warn('y')
    log.error(Object.assign(new Error('z'), { authorization: 'hidden' }))
  })
  expect(JSON.stringify(records)).not.toContain('hidden')
  expect(records[1]).toMatchObject({ plugin: 'p', secret: '[redacted]', message: 'y' })
  expect(records[2]).toMatchObject({ message: 'z', err: { message: 'z' } })
})

test('a finer level than the one asked for is not logged, and disabled logs nothing', async () => {
  const records = await recordsOf('level', { level: 'warn' }, (log) => {
    log.info('no')
    log.warn('yes')
  })
  expect(records.map((record) => record['message'])).toEqual(['yes'])
  expect(createLog({ level: 'disabled' }).isLevelEnabled('fatal')).toBe(false)
  const panic = createLog({ level: 'panic' })
  expect([panic.isLevelEnabled('fatal'), panic.isLevelEnabled('error')]).toEqual([true, false])
})

test('a log file is appended to, also by two groups, and not readable by everyone', async () => {
  const fileName = join(folder, 'shared')
  writeFileSync(fileName, '', { mode: 0o600 })
  rmSync(fileName)
  await recordsOf('shared', { group: 'a' }, (log) => log.info('1'))
  const records = await recordsOf('shared', { group: 'b' }, (log) => log.info('2'))
  expect(records.map((record) => record['group'])).toEqual(['a', 'b'])
  expect(statSync(fileName).mode & 0o007).toBe(0)
})

test('a log file that cannot be opened is an error that names the key and the cure', () => {
  const open = () =>
    createLog({ group: 'default', output: ['file'], fileName: join(folder, 'no', 'x.log') })
  expect(open).toThrow(GatewayError)
  expect(open).toThrow(/loggers\.default\.fileName: cannot append to .*no\/x\.log .*writable/)
})

test('the console is text on standard error, and standard output stays free', async () => {
  const { out, err } = await printed({ output: ['console'], consoleTimeFormat: 'Kitchen' })
  expect(out).toBe('')
  expect(err).toMatch(/^\d+:\d\d[AP]M INF listening port=5432 password="\[redacted\]"\n/)
  expect(err).toMatch(/ERR failed err="surprise"\n {4}at /)
  expect(err).not.toContain('\u001b')
  expect(err).not.toContain('too fine')
})

test('stdout and stderr carry JSON lines, several outputs the same records', async () => {
  const { out, err } = await printed({ output: ['stdout', 'stderr'] })
  const messages = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line).message)
  expect(messages(out)).toEqual(['listening', 'failed'])
  expect(messages(err)).toEqual(['listening', 'failed'])
})

test('an output that is not built yet leaves the console, not silence', async () => {
  const { err } = await printed({ output: ['syslog'] })
  expect(err).toContain('listening')
})

test('the console is coloured on a terminal, unless noColor or NO_COLOR is set', async () => {
  const onTerminal = async (options: LogOptions, env: Readonly<Record<string, string>> = {}) => {
    const path = join(folder, `terminal-${Bun.hash(JSON.stringify([options, env]))}.ts`)
    writeFileSync(
      path,
      `import { createLog } from '${LOG}'
       createLog(${JSON.stringify(options)}).info('hello')`,
    )
    const command = `${process.execPath} ${path}`
    const child = Bun.spawn(['script', '-qec', command, '/dev/null'], {
      env: { ...process.env, NO_COLOR: '', FORCE_COLOR: '', ...env },
      stdin: 'ignore',
    })
    return new Response(child.stdout).text()
  }
  expect(await onTerminal({})).toContain('\u001b[32mINF\u001b[0m hello')
  expect(await onTerminal({ noColor: true })).toContain('INF hello')
  expect(await onTerminal({}, { NO_COLOR: '1' })).toContain('INF hello')
})

test('the level can be set later, for what is written from then on', async () => {
  const records = await recordsOf('later', { level: 'info' }, (log) => {
    log.debug('one')
    setLevel(log, 'debug')
    log.debug('two')
    setLevel(log, 'panic')
    log.error('three')
    setLevel(log, 'disabled')
    log.fatal('four')
    setLevel(log, 'info')
    log.info('five')
  })
  expect(records.map(({ message }) => message)).toEqual(['two', 'five'])
})

test('the level of a logger is that of its children too, however old they are', async () => {
  const records = await recordsOf('children', { level: 'warn' }, (log) => {
    const child = log.child({ plugin: 'audit' })
    const grandchild = child.child({ call: 1 })
    child.info('one')
    setLevel(log, 'info')
    child.info('two')
    grandchild.info('three')
    setLevel(log, 'error')
    child.warn('four')
  })
  expect(records.map(({ message }) => message)).toEqual(['two', 'three'])
})
