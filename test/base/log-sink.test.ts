import { afterAll, expect, setSystemTime, test } from 'bun:test'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { logSink } from '../../src/base/log-sink.ts'

const folder = mkdtempSync(join(tmpdir(), 'log-sink-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SINK = join(import.meta.dir, '../../src/base/log-sink.ts')

/** A program around a sink on a named pipe, and a reading end that nobody reads yet. */
function startOnPipe(name: string, source: string) {
  const path = join(folder, name)
  Bun.spawnSync(['mkfifo', path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const program = `import { logSink } from '${SINK}'
    import { openSync, writeSync } from 'node:fs'
    const sink = logSink(openSync('${path}', 'w'), (count) => 'lost ' + count + '\\n')
    const told = () => new Promise((resolve) => process.stdin.once('data', resolve))
    ${source}
    process.exit(0)`
  const child = Bun.spawn([process.execPath, '-e', program], { stdin: 'pipe', stdout: 'pipe' })
  const answers = child.stdout.getReader()
  return {
    child,
    said: async () => new TextDecoder().decode((await answers.read()).value),
    tell: async () => {
      child.stdin.write('go')
      await child.stdin.end()
    },
    /** From here on everything is read, up to the end of the program. */
    readAll: () => {
      const cat = Bun.spawn(['cat', path])
      return new Response(cat.stdout).text()
    },
    leave: () => closeSync(reader),
  }
}

test('lines arrive whole and in order', async () => {
  const path = join(folder, 'order')
  const descriptor = openSync(path, 'a')
  const sink = logSink(descriptor, () => '')
  const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}\n`)
  for (const line of lines) sink.write(line)
  await sink.flush(5000)
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''))
  closeSync(descriptor)
})

/** Calls of write(2) that this process has made. */
const writesSoFar = (): number =>
  Number(/syscw: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])

test('lines that come one soon after the other share their writes', async () => {
  const path = join(folder, 'gathered')
  const descriptor = openSync(path, 'a')
  const sink = logSink(descriptor, () => '')
  const before = writesSoFar()
  const lines = Array.from({ length: 400 }, (_, index) => `line ${index}\n`)
  for (const line of lines) {
    sink.write(line)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await sink.flush(5000)
  // A loaded machine may make pauses between them, but never one behind each.
  expect(writesSoFar() - before).toBeLessThan(40)
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''))
  closeSync(descriptor)
})

test('a descriptor has one sink', () => {
  expect(logSink(2, () => '')).toBe(logSink(2, () => ''))
})

test('a process that ends at once loses no line', async () => {
  const pipe = startOnPipe('ends', "for (let i = 0; i < 500; i++) sink.write('line ' + i + '\\n')")
  const text = await pipe.readAll()
  pipe.leave()
  expect(text.split('\n')).toHaveLength(501)
  expect(text).toEndWith('line 499\n')
})

test('a log into a file that others write to as well overwrites nothing', async () => {
  const path = join(folder, 'redirected')
  const source = `import { logSink } from '${SINK}'
    const sink = logSink(1, () => '')
    for (const line of ['one', 'two', 'three']) sink.write(line + '\\n')
    process.exit(0)`
  const shell = Bun.spawn(
    ['sh', '-c', '("$1" -e "$2"; echo end) > "$3"', 'sh', process.execPath, source, path],
    { stdout: 'ignore' },
  )
  await shell.exited
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\nend\n')
})

/** One that no sink of another test was ever for: a descriptor has one sink for good. */
function unusedDescriptor(path: string): number {
  const opened = Array.from({ length: 100 }, () => openSync(path, 'w'))
  for (const descriptor of opened.slice(0, -1)) closeSync(descriptor)
  return opened.at(-1)!
}

test('lines that a full disk does not take are counted one by one, told or not', async () => {
  const counts: number[] = []
  const descriptor = unusedDescriptor('/dev/full')
  const sink = logSink(descriptor, (count) => `lost ${counts.push(count)}\n`)
  // The clock stands still, so that lines which come together are written together.
  setSystemTime(new Date())
  for (const lines of [['one\n'], ['two\n', 'three\n'], ['four\n']]) {
    for (const line of lines) sink.write(line)
    await sink.flush(5000)
  }
  setSystemTime()
  expect(counts).toEqual([1, 3])
  closeSync(descriptor)
})

test('a reader that stalls costs lines, counted, and never time', async () => {
  const pipe = startOnPipe(
    'stalls',
    `const line = 'x'.repeat(999) + '\\n'
     const began = performance.now()
     for (let i = 0; i < 5000; i++) sink.write(line)
     await sink.flush(50)
     writeSync(1, performance.now() - began < 2000 ? 'fast' : 'slow')
     await told()
     await sink.flush(5000)`,
  )
  expect(await pipe.said()).toBe('fast')
  const text = pipe.readAll()
  await pipe.tell()
  expect(await text).toMatch(/^lost [1-9]\d+$/m)
  pipe.leave()
  expect(await pipe.child.exited).toBe(0)
})

test('a process ends in time although its log is not read', async () => {
  const pipe = startOnPipe(
    'blocked',
    `for (let i = 0; i < 5000; i++) sink.write('x'.repeat(999) + '\\n')
     await sink.flush(50)`,
  )
  expect(await pipe.child.exited).toBe(0)
  pipe.leave()
})

test('a full disk neither throws nor hangs the end of the process', async () => {
  const source = `import { openSync } from 'node:fs'
    import { logSink } from '${SINK}'
    const sink = logSink(openSync('/dev/full', 'a'), () => 'lost\\n')
    for (let i = 0; i < 100; i++) sink.write('line\\n')
    await sink.flush(1000)
    sink.write('line\\n')
    process.exit(0)`
  const child = Bun.spawn([process.execPath, '-e', source], { stderr: 'pipe' })
  expect(await child.exited).toBe(0)
  expect(await new Response(child.stderr).text()).toBe('')
})

test('a reader that went away costs nothing more', async () => {
  const pipe = startOnPipe(
    'gone',
    `sink.write('first\\n')
     await sink.flush(1000)
     writeSync(1, 'ready')
     await told()
     for (let i = 0; i < 100; i++) {
       sink.write('later\\n')
       await sink.flush(1000)
     }
     writeSync(1, 'alive')`,
  )
  expect(await pipe.said()).toBe('ready')
  pipe.leave()
  await pipe.tell()
  expect(await pipe.said()).toBe('alive')
  expect(await pipe.child.exited).toBe(0)
})
