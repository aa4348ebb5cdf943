/** What may lie in the way of a Unix socket, and what must never be removed for one. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeWay, withMode } from '../../src/tcp/unix-socket.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-unix-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const KEY = 'servers.shop.address'
const at = (name: string): string => join(folder, name)
const listen = (path: string) => Bun.listen({ unix: path, socket: { data: () => {} } })

/** The message of what was refused; it has the code, the key and the path. */
async function refusal(path: string): Promise<string> {
  const thrown: unknown = await makeWay(path, KEY).catch((error: unknown) => error)
  expect(thrown).toMatchObject({ code: 'LISTEN_FAILED' })
  const message = thrown instanceof Error ? thrown.message : ''
  expect(message).toStartWith(`${KEY}: cannot listen on ${path}: `)
  return message
}

/** A socket whose process was killed: nobody accepts on it. */
async function leaveStale(path: string): Promise<void> {
  const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } });
    console.log('listening')`
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'pipe' })
  for await (const _ of child.stdout) break
  child.kill('SIGKILL')
  await child.exited
}

describe('there is a way', () => {
  test('where nothing is', async () => {
    await makeWay(at('free.sock'), KEY)
    expect(existsSync(at('free.sock'))).toBe(false)
  })

  test('where a killed process left its socket, which is removed', async () => {
    await leaveStale(at('stale.sock'))
    expect(statSync(at('stale.sock')).isSocket()).toBe(true)
    await makeWay(at('stale.sock'), KEY)
    expect(existsSync(at('stale.sock'))).toBe(false)
    listen(at('stale.sock')).stop(true)
  })
})

describe('there is none', () => {
  test('where somebody listens, who goes on to do so', async () => {
    const living = listen(at('living.sock'))
    expect(await refusal(at('living.sock'))).toContain('another process listens on it')
    expect(await refusal(at('living.sock'))).toContain('another process listens on it')
    living.stop(true)
  })

  test('where a file is that is no socket, which stays as it is', async () => {
    writeFileSync(at('file'), 'precious')
    expect(await refusal(at('file'))).toContain('a file is there that is no socket')
    expect(readFileSync(at('file'), 'utf8')).toBe('precious')
  })

  test('where a link is, wherever it leads', async () => {
    await leaveStale(at('stale.sock'))
    symlinkSync(at('stale.sock'), at('link'))
    expect(await refusal(at('link'))).toContain('a file is there that is no socket')
    expect(existsSync(at('stale.sock'))).toBe(true)
  })

  test('where a folder is: the error names a socket that clients would find', async () => {
    mkdirSync(at('run'))
    expect(await refusal(at('run'))).toContain(
      `it is a folder; name a file in it, such as ${at('run/.s.PGSQL.5432')}, ` +
        `which psql -h ${at('run')} finds`,
    )
  })

  test('where the folder is missing, or is none', async () => {
    writeFileSync(at('file'), '')
    expect(await refusal(at('no/front.sock'))).toContain(`there is no folder ${at('no')}`)
    expect(await refusal(at('file/front.sock'))).toContain(`there is no folder ${at('file')}`)
  })
})

test('a socket has its mode from the first moment, and other files their own', () => {
  const umask = process.umask()
  for (const mode of [0o777, 0o660, 0o600]) {
    const path = at(`${mode}.sock`)
    const listening = withMode(mode, () => listen(path))
    expect(statSync(path).mode & 0o777).toBe(mode)
    expect(process.umask()).toBe(umask)
    listening.stop(true)
    expect(existsSync(path)).toBe(false)
  }
  expect(() => withMode(0o600, () => listen(at('no/front.sock')))).toThrow()
  expect(process.umask()).toBe(umask)
})
