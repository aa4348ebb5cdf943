/** Finds TCP ports for tests, where neither another test nor an outgoing connection takes them. */
import { createServer } from 'node:net'

/** Below Linux's range for outgoing connections (32768 and up), which would steal a freed port. */
const PORT_MIN = 15_000
const PORT_MAX = 32_000
const ATTEMPTS_MAX = 200

/** What this process has been given already; a port is never handed out twice. */
const given = new Set<number>()

/** A port of 127.0.0.1 that nobody listens on now and that this process was not given before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN))
    if (given.has(port) || !(await canListen(port))) continue
    given.add(port)
    return port
  }
  throw new Error(
    `no free port of 127.0.0.1 between ${PORT_MIN} and ${PORT_MAX} in ${ATTEMPTS_MAX} attempts`,
  )
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
