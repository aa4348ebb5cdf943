/** Processes that start well, badly, or not at all: each is told apart, and none is left. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { LastLines } from '../../../src/plugins/grpc/last-lines.ts'
import { type Launched, type LaunchRequest, launch } from '../../../src/plugins/grpc/launch.ts'
import { Folder } from '../../fixtures/grpc/surroundings.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const folder = new Folder()
const started: Launched[] = []
afterAll(() => folder.remove())
afterEach(async () => {
  for (const process of started.splice(0)) {
    process.kill()
    await process.exited
  }
})

interface Printed {
  readonly channel: string
  readonly line: string
}

async function run(
  script: string,
  args: readonly string[] = [],
  noteProcess?: LaunchRequest['noteProcess'],
) {
  const path = script.startsWith('/') ? script : folder.script('plugin', script)
  const printed: Printed[] = []
  const waiting = new Map<string, () => void>()
  const process = await launch({
    path,
    name: 'called-so',
    args,
    environment: { PATH: globalThis.process.env['PATH'] ?? '', GREETING: 'hello' },
    printed: (channel, line) => {
      printed.push({ channel, line })
      waiting.get(line)?.()
    },
    lastLines: new LastLines(),
    noteProcess,
  })
  started.push(process)
  const seen = (line: string): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.set(line, resolve)
    if (printed.some((each) => each.line === line)) resolve()
    return promise
  }
  return { process, printed, seen }
}

const script = (...lines: string[]): string => ['#!/bin/sh', ...lines, ''].join('\n')

describe('the first line', () => {
  test('is given alone; what follows is printed, on both channels', async () => {
    const { process, printed, seen } = await run(
      script('echo "line of $GREETING $1"', 'echo after', 'echo error >&2', 'exec sleep 60'),
      ['argument'],
    )
    expect(await process.firstLine(10_000)).toBe('line of hello argument')
    await Promise.all([seen('after'), seen('error')])
    expect(printed.toSorted((a, b) => a.line.localeCompare(b.line))).toEqual([
      { channel: 'stdout', line: 'after' },
      { channel: 'stderr', line: 'error' },
    ])
  })

  test('may come in pieces', async () => {
    const { process } = await run(
      script('printf "1|1|"', 'sleep 0.05', 'echo unix', 'exec sleep 60'),
    )
    expect(await process.firstLine(10_000)).toBe('1|1|unix')
  })

  test('is given also where the process has ended since', async () => {
    const { process } = await run(script('echo line'))
    await process.exited
    expect(await process.firstLine(10_000)).toBe('line')
  })

  test('that is missing at the end is an error with code and last words', async () => {
    const { process } = await run(
      script('for n in 1 2 3 4 5 6; do echo "word $n" >&2; done', 'exit 3'),
    )
    const attempt = process.firstLine(10_000)
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_EXITED' })
    await expect(attempt).rejects.toThrow(
      'ended with code 3 before its handshake line; its last lines on standard error: ' +
        '"word 2" "word 3" "word 4" "word 5" "word 6"',
    )
  })

  test('that is missing because of a signal names the signal', async () => {
    const { process } = await run(script('kill -SEGV $$'))
    await expect(process.firstLine(10_000)).rejects.toThrow(
      'was killed by SIGSEGV before its handshake line; it printed nothing',
    )
  })

  test('that does not come in time is an error that names time and cure', async () => {
    const { process } = await run(script('echo waiting >&2', 'exec sleep 60'))
    const attempt = process.firstLine(300)
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_TIMEOUT' })
    await expect(attempt).rejects.toThrow(
      'no handshake line in 300 ms; if it needs longer, raise its startTimeout; its last lines',
    )
  })

  test('that does not end is read up to a limit', async () => {
    const { process } = await run(script('exec cat /dev/zero'))
    const attempt = process.firstLine(10_000)
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_HANDSHAKE' })
    await expect(attempt).rejects.toThrow('printed 65536 bytes without a handshake line')
  })
})

describe('a process', () => {
  test('is killed with the children in its group', async () => {
    const fifo = folder.fifo('killed')
    const gone = readFile(fifo)
    const { process } = await run(script(`exec 3>${fifo}`, 'sleep 60 &', 'echo ready', 'wait'))
    await process.firstLine(10_000)
    process.kill()
    expect(await process.exited).toBe('was killed by SIGKILL')
    await gone
    // Once it has ended, its number is another's: nothing more is sent to it.
    process.kill()
  })

  test('that ends leaves no child behind', async () => {
    const fifo = folder.fifo('ended')
    const gone = readFile(fifo)
    const { process } = await run(
      script(`exec 3>${fifo}`, 'sleep 60 >/dev/null 2>&1 &', 'echo ready', 'exit 0'),
    )
    await process.firstLine(10_000)
    expect(await process.exited).toBe('ended with code 0')
    await gone
  })

  test('goes by the name its entry has', async () => {
    const { process } = await run('/bin/sleep', ['nonsense'])
    await expect(process.firstLine(10_000)).rejects.toThrow('called-so: ')
  })
})

describe('a file that the system will not start', () => {
  const rows: readonly (readonly [what: string, text: string, problem: string])[] = [
    ['without its interpreter', '#!/nowhere/interpreter\n', 'the interpreter in its first line'],
    ['of no known format', '\0\0\0 no program', 'no program for this machine'],
  ]
  for (const [what, text, problem] of rows) {
    test(`${what} is refused with a cure`, async () => {
      const attempt = run(text)
      expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_FILE' })
      await expect(attempt).rejects.toThrow(problem)
    })
  }
})

describe('the note of a process', () => {
  function noting() {
    const noted: string[] = []
    const noteProcess = (pid: number) => {
      noted.push(`began ${pid}`)
      return {
        settled: (sockets: readonly string[]) => noted.push(`settled ${sockets.join()}`),
        ended: () => noted.push('ended'),
      }
    }
    return { noted, noteProcess }
  }

  test('is made at the start, made anew, and taken away at the end', async () => {
    const { noted, noteProcess } = noting()
    const { process } = await run(script('exec sleep 60'), [], noteProcess)
    process.settled(['/socket'])
    process.kill()
    await process.exited
    process.settled(['/too-late'])
    expect(noted).toEqual([`began ${process.pid}`, 'settled /socket', 'ended'])
  })

  test('is never made of what cannot be started', async () => {
    const { noted, noteProcess } = noting()
    const path = folder.script('unstartable', '#!/no/such/interpreter\n')
    await expect(run(path, [], noteProcess)).rejects.toThrow('does not exist')
    expect(noted).toEqual([])
  })
})
