/** A session as `connection` gives it to guests: JSON, made anew where something has changed. */
import type { SessionFacts } from '../../hooks/step.ts'
import { encodeText } from './memory.ts'

/** What changes in the life of a session, as it was when the JSON was made. */
interface Made {
  readonly json: Uint8Array
  readonly server: SessionFacts['server']
  readonly block: string
  readonly tls: SessionFacts['tls']
  readonly user: string
  readonly database: string
  readonly applicationName: string
}

const made = new WeakMap<SessionFacts, Made>()

/** Only lent: neither changed nor kept by who gets it. */
export function connectionText(session: SessionFacts): Uint8Array {
  const known = made.get(session)
  if (known !== undefined && isTrueOf(known, session)) return known.json
  const { server, block, tls, user, database, applicationName } = session
  const json = encodeText(jsonOf(session))
  made.set(session, { json, server, block, tls, user, database, applicationName })
  return json
}

/** Texts of a session are the same ones until they change, and so are its pairs of addresses. */
function isTrueOf(known: Made, session: SessionFacts): boolean {
  return (
    known.server === session.server &&
    known.block === session.block &&
    known.tls === session.tls &&
    known.user === session.user &&
    known.database === session.database &&
    known.applicationName === session.applicationName
  )
}

function jsonOf(session: SessionFacts): string {
  const { id, client, server, group, block, protocol, tls, user, database } = session
  const { applicationName } = session
  return JSON.stringify({
    id,
    client: { local: client.local, remote: client.remote },
    server: { local: server.local, remote: server.remote },
    group,
    block,
    protocol,
    tls: tls === null ? null : { version: tls.version, cipher: tls.cipher, subject: tls.subject },
    user,
    database,
    applicationName,
  })
}
