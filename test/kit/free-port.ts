/** Finds TCP ports for tests, where neither another test nor an outgoing connection takes them. */
import { createServer } from 'node:net'

/** Below Linux's range for outgoing connections (32768 and up), which would steal a freed port. */
const PORT_MIN = 15_000
const PORT_MAX = 32_000
const ATTEMPTS_MAX = 200

/** Which ports this process may give, as `15000-23500`: others run tests beside it. */
export const PORTS_VARIABLE = 'POSTERN_TEST_PORTS'

/** The share of one of so many processes, for their environment. */
export function portsOf(at: number, count: number): string {
  const share = Math.floor((PORT_MAX - PORT_MIN) / count)
  return `${PORT_MIN + at * share}-${PORT_MIN + (at + 1) * share}`
}

/** What this process has been given already; a port is never handed out twice. */
const given = new Set<number>()

/** From the first number on, up to but without the second. */
function range(): readonly [number, number] {
  const [from, to] = (process.env[PORTS_VARIABLE] ?? portsOf(0, 1)).split('-').map(Number)
  return [from!, to!]
}

/** A port of 127.0.0.1 that nobody listens on now and that this process was not given before. */
export async function freePort(): Promise<number> {
  const [from, to] = range()
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = from + Math.floor(Math.random() * (to - from))
    if (given.has(port) || !(await canListen(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`no free port of 127.0.0.1 between ${from} and ${to} in ${ATTEMPTS_MAX} attempts`)
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
