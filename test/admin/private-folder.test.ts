import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MODULE = join(import.meta.dir, '../../src/admin/private-folder.ts')
const RUN_FOLDER = join(import.meta.dir, '../../src/admin/run-folder.ts')
/** A user that may not make /run/postern, where the tests run as root. */
const NOBODY = 65534

let home = ''
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'private-'))
  if (process.getuid?.() === 0) Bun.spawnSync(['chmod', '777', home])
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

/** Runs an expression as a user without rights, with that environment. */
function asNobody(expression: string, env: Readonly<Record<string, string>>): string {
  const source = `
    if (process.getuid() === 0) { process.setgid(${NOBODY}); process.setuid(${NOBODY}) }
    const folders = await import('${MODULE}')
    const runs = await import('${RUN_FOLDER}')
    const env = ${JSON.stringify(env)}
    try { process.stdout.write(JSON.stringify(${expression})) }
    catch (error) { process.stdout.write(error.code + ' ' + error.message) }`
  const child = Bun.spawnSync([process.execPath, '-e', source])
  return child.stdout.toString() + child.stderr.toString()
}

test("without a user's folder a fresh one is made, private, and found again", () => {
  const env = { TMPDIR: home }
  const made = asNobody('[runs.openRunFolder(env).path, runs.findInstances(env)[0]?.folder]', env)
  const [path, found]: readonly string[] = JSON.parse(made)
  expect(path).toMatch(new RegExp(`^${home}/postern-\\d+-\\w+/\\d+$`))
  expect(found).toBe(path ?? '')
  expect(statSync(join(path ?? '', '..')).mode & 0o777).toBe(0o700)
  // That process has ended: the next one takes its folder away.
  asNobody('runs.openRunFolder(env).close()', env)
  expect(existsSync(join(path ?? '', '..'))).toBe(false)
})

test('no place at all is an error that names the place and the cure', () => {
  const closed = join(home, 'closed')
  mkdirSync(closed, { mode: 0o500 })
  const said = asNobody('folders.makeSharedFolder(env)', { TMPDIR: join(closed, 'absent') })
  expect(said).toStartWith(`RUN_FOLDER no private folder can be made in ${closed}/absent: set XDG`)
})

test('a relative XDG_RUNTIME_DIR, or one that is not there, is not used', () => {
  for (const wrong of ['run', join(home, 'absent')]) {
    const said = asNobody('folders.makeSharedFolder(env)', { XDG_RUNTIME_DIR: wrong, TMPDIR: home })
    expect(said).toContain('"temporary":true')
  }
})

test('a folder that others may look into is not believed', () => {
  const open = join(home, `postern-${process.getuid?.()}-open`)
  mkdirSync(open, { mode: 0o755 })
  expect(asNobody('folders.findTemporaryFolders(env)', { TMPDIR: home })).not.toContain(open)
})
