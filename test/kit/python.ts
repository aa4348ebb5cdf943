/** Python with the packages of a requirements file, in an environment of its own. */
import { join } from 'node:path'
import { mustRun } from './command.ts'

const ROOT = join(import.meta.dir, '../..')

/**
 * The interpreter in `home`, made once for the same requirements and inputs; `more` is run with it
 * when it is made. Null where there is no Python, or its packages are not to be had.
 */
export async function pythonWith(
  home: string,
  requirements: string,
  inputs: readonly string[] = [],
  more: (python: string) => Promise<void> = async () => {},
): Promise<string | null> {
  const system = Bun.which('python3')
  if (system === null) return null
  const python = join(home, 'bin/python')
  const hash = new Bun.CryptoHasher('sha256')
  for (const input of [requirements, ...inputs]) hash.update(await Bun.file(input).bytes())
  const key = hash.digest('hex')
  const keyFile = Bun.file(join(home, 'key'))
  if ((await keyFile.exists()) && (await keyFile.text()) === key) return python
  const run = (...argv: string[]) => mustRun(argv, { cwd: ROOT })
  try {
    await run(system, '-m', 'venv', home)
    const quick = ['--quiet', '--retries=1', '--only-binary=:all:']
    await run(python, '-m', 'pip', 'install', ...quick, '-r', requirements)
    await more(python)
  } catch {
    // Offline, or without venv: the test says what it needs.
    return null
  }
  await Bun.write(keyFile, key)
  return python
}
