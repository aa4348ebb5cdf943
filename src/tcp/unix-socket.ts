/** Unix sockets to listen on: what lies in their way, and who may open them. */
import { lstatSync, type Stats, statSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Socket } from 'bun'
import { GatewayError } from '../base/errors.ts'

/** Longest wait for an answer from whoever listens on a socket already. */
const KNOCK_TIMEOUT_MS = 2000
const MODE_BITS = 0o777

/**
 * Makes way for a socket at `path`, which the configuration names at `key`: one that a killed
 * process left is removed. Whatever else is there stays, and is an error.
 */
export async function makeWay(path: string, key: string): Promise<void> {
  const refuse = (problem: string): never => {
    throw new GatewayError('LISTEN_FAILED', `${key}: cannot listen on ${path}: ${problem}`)
  }
  const folder = dirname(path)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    return refuse(`there is no folder ${folder}; make it first`)
  }
  const found = lookAt(path)
  if (found === undefined) return
  if (found.isDirectory()) {
    const example = join(path, '.s.PGSQL.5432')
    refuse(`it is a folder; name a file in it, such as ${example}, which psql -h ${path} finds`)
  }
  if (!found.isSocket())
    refuse('a file is there that is no socket; move it, or choose another path')
  const answer = await knock(path)
  if (answer === null) refuse('another process listens on it')
  // Only what was knocked at is removed: somebody else may just have done the same, and listen.
  // The number of a file that is gone may be that of the next, so its time counts too.
  const now = lookAt(path)
  const unchanged = now?.ino === found.ino && now.ctimeMs === found.ctimeMs
  if (answer === 'ECONNREFUSED' && unchanged) unlinkSync(path)
  else if (answer !== 'ENOENT' && unchanged) {
    refuse(
      `whether another process listens on it cannot be told (${answer}); remove it if none does`,
    )
  }
}

function lookAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** Null where somebody answers, else why not. */
async function knock(path: string): Promise<string | null> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve('no answer'), KNOCK_TIMEOUT_MS)
  const socket = { data: () => {}, connectError: () => {} }
  const connecting = Bun.connect<undefined>({ unix: path, socket }).then(
    (connection: Socket<undefined>) => {
      connection.end()
      return null
    },
    (thrown: unknown) =>
      thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown),
  )
  const answer = await Promise.race([connecting, late.promise])
  clearTimeout(timer)
  return answer
}

/** Runs `listen` so that the socket it makes has this mode from its first moment. */
export function withMode<Listening>(mode: number, listen: () => Listening): Listening {
  const before = process.umask(MODE_BITS & ~mode)
  try {
    return listen()
  } finally {
    process.umask(before)
  }
}
