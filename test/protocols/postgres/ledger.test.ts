import { describe, expect, test } from 'bun:test'
import { IDLE, Ledger, type OwnReply } from '../../../src/protocols/postgres/ledger.ts'
import { BACKEND, FRONTEND } from '../../../src/protocols/postgres/tags.ts'

const { Parse, Bind, Describe, Execute, Sync, Flush, Query, CopyData, CopyDone, CopyFail } =
  FRONTEND
const { ParseComplete, BindComplete, CommandComplete, ReadyForQuery, ErrorResponse } = BACKEND
const { CopyInResponse, DataRow, RowDescription, NoData } = BACKEND

interface Bench {
  readonly ledger: Ledger
  readonly emitted: OwnReply[]
  /** Notes messages of the client, then reads messages of the server. */
  client(...tags: readonly number[]): void
  server(...tags: readonly number[]): void
}

function bench(): Bench {
  const emitted: OwnReply[] = []
  const ledger = new Ledger({ emit: (reply) => void emitted.push(reply) })
  ledger.status = IDLE
  return {
    ledger,
    emitted,
    client: (...tags) => tags.forEach((tag) => void ledger.note(tag)),
    server: (...tags) => tags.forEach((tag) => void ledger.reply(tag)),
  }
}

const own = (length = 0): OwnReply => ({ bytes: new Uint8Array(length), ready: false })

/** What the server said last ends what it says; asked for once. */
function ends(ledger: Ledger): boolean {
  const { boundary } = ledger
  ledger.boundary = false
  return boundary
}

describe('what is owed', () => {
  test('a simple query is owed until ReadyForQuery, though it fails', () => {
    for (const reply of [CommandComplete, ErrorResponse]) {
      const { ledger, client, server } = bench()
      client(Query)
      expect(ledger.quiet).toBe(false)
      server(RowDescription, DataRow, reply)
      expect(ledger.owed).toBe(1)
      server(ReadyForQuery)
      expect(ledger.quiet).toBe(true)
    }
  })

  test('extended messages are paid one by one, and Sync by ReadyForQuery', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind, Describe, Execute, Sync)
    const owed = [ParseComplete, BindComplete, NoData, CommandComplete, ReadyForQuery].map(
      (tag) => {
        server(tag)
        return ledger.owed
      },
    )
    expect(owed).toEqual([4, 3, 2, 1, 0])
    expect(ledger.quiet).toBe(true)
  })

  test('the startup packet is owed the first ReadyForQuery', () => {
    const { ledger, client, server } = bench()
    client(FRONTEND.StartupMessage)
    server(BACKEND.Authentication, BACKEND.ParameterStatus, BACKEND.BackendKeyData)
    expect(ledger.owed).toBe(1)
    server(ReadyForQuery)
    expect(ledger.owed).toBe(0)
  })

  test('an error pays everything up to Sync, and the Query within the pipeline too', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind, Query, Execute, Sync, Query)
    server(ErrorResponse)
    expect(ledger.owed).toBe(2)
    server(ReadyForQuery, CommandComplete, ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })

  test('a Flush with a body fails, and what lies behind it is skipped up to Sync', () => {
    const { ledger, client, server } = bench()
    ledger.note(Flush, 6)
    client(Query, Query, Sync, Query)
    expect(ledger.owed).toBe(5)
    server(ErrorResponse)
    expect(ledger.owed).toBe(2)
    server(ReadyForQuery, CommandComplete, ReadyForQuery)
    expect(ledger.owed).toBe(0)
  })

  test('an error with no Sync behind it makes the server skip: nothing is owed until Sync', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind)
    server(ErrorResponse)
    client(Execute, Query)
    expect(ledger).toMatchObject({ owed: 0, skipping: true, quiet: false })
    client(Sync)
    expect(ledger).toMatchObject({ owed: 1, skipping: false })
    server(ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })

  test('unsynced messages are not quiet although their replies have come', () => {
    const { ledger, client, server } = bench()
    client(Parse, Flush)
    server(ParseComplete)
    expect(ledger).toMatchObject({ owed: 0, unsynced: 1, quiet: false })
    client(Sync)
    server(ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })

  test('thousands of queries are paid in order and leave nothing behind', () => {
    const { ledger, client, server } = bench()
    for (let round = 0; round < 1000; round++) {
      client(Query, Query, Query)
      server(CommandComplete, ReadyForQuery)
    }
    expect(ledger.owed).toBe(2000)
    for (let round = 0; round < 2000; round++) server(CommandComplete, ReadyForQuery)
    expect(ledger).toMatchObject({ owed: 0, gone: 3000, noted: 3000, quiet: true })
  })

  test('a transaction or a failed one is not quiet', () => {
    const { ledger } = bench()
    for (const status of [0x54, 0x45, 0]) {
      ledger.status = status
      expect(ledger.quiet).toBe(false)
    }
  })

  test('a client that says Terminate has left', () => {
    const { ledger, client } = bench()
    expect(ledger.left).toBe(false)
    client(FRONTEND.Terminate)
    expect(ledger.left).toBe(true)
  })
})

describe('replies of our own', () => {
  test('come at once where nothing is owed', () => {
    const { ledger, emitted } = bench()
    ledger.answer(own())
    expect(emitted).toHaveLength(1)
  })

  test('wait behind what is owed before them, and only for that', () => {
    const { ledger, emitted, client, server } = bench()
    client(Query)
    ledger.answer(own(3))
    client(Query)
    expect(ledger.ownBytes).toBe(3)
    server(CommandComplete)
    expect(emitted).toEqual([])
    server(ReadyForQuery)
    expect(emitted).toHaveLength(1)
    expect(ledger).toMatchObject({ owed: 1, ownBytes: 0 })
  })

  test('are skipped with the pipeline that failed before them, and hold no bytes then', () => {
    const { ledger, emitted, client, server } = bench()
    client(Parse)
    ledger.answer(own(5))
    client(Sync)
    server(ErrorResponse, ReadyForQuery)
    ledger.skipping = true
    ledger.answer(own(7))
    expect(emitted).toEqual([])
    expect(ledger).toMatchObject({ owed: 0, ownBytes: 0 })
  })
})

describe('copying in', () => {
  test('eats Flush and Sync, and owes the Query until it has ended', () => {
    const { ledger, client, server } = bench()
    client(Query)
    server(CopyInResponse)
    client(CopyData, Flush, Sync, CopyData, CopyDone)
    expect(ledger).toMatchObject({ owed: 1, syncsEaten: 1 })
    server(CommandComplete, ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })

  test('eats what was sent blindly behind, up to the end of the copy', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind, Execute, Sync, CopyDone, Sync)
    server(ParseComplete, BindComplete, CopyInResponse)
    expect(ledger.syncsEaten).toBe(1)
    server(CommandComplete)
    expect(ledger.owed).toBe(1)
    server(ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })

  test('that fails skips to Sync in the extended protocol', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind, Execute)
    server(ParseComplete, BindComplete, CopyInResponse)
    client(CopyData, CopyFail)
    server(ErrorResponse)
    expect(ledger.skipping).toBe(true)
    client(Sync)
    server(ReadyForQuery)
    expect(ledger.quiet).toBe(true)
  })
})

describe('the end of what the server says', () => {
  test('is ReadyForQuery, the question for copied data, and a reply before a Flush', () => {
    const { ledger, client, server } = bench()
    client(Query)
    server(DataRow, CommandComplete)
    expect(ends(ledger)).toBe(false)
    server(ReadyForQuery)
    expect(ends(ledger)).toBe(true)
    client(Query)
    server(CopyInResponse)
    expect(ends(ledger)).toBe(true)
    server(CommandComplete, ReadyForQuery)
    client(Parse, Flush, Bind, Sync)
    ends(ledger)
    server(ParseComplete)
    expect(ends(ledger)).toBe(true)
    server(BindComplete)
    expect(ends(ledger)).toBe(false)
  })

  test('is a notification alone, but not one within a reply', () => {
    const { ledger, client, server } = bench()
    server(BACKEND.NotificationResponse)
    expect(ends(ledger)).toBe(true)
    client(Query)
    server(BACKEND.NotificationResponse)
    expect(ends(ledger)).toBe(false)
  })

  test('is no CopyInResponse whose data were sent blindly already', () => {
    const { ledger, client, server } = bench()
    client(Query, CopyDone)
    server(CopyInResponse)
    expect(ends(ledger)).toBe(false)
  })

  test('is an error outside of every reply, and one with no Sync behind it', () => {
    const { ledger, client, server } = bench()
    server(ErrorResponse)
    expect(ends(ledger)).toBe(true)
    client(Parse)
    server(ErrorResponse)
    expect(ends(ledger)).toBe(true)
  })
})

describe('the server alone is awaited', () => {
  test('for a query, and for a pipeline once it is synced or flushed', () => {
    const { ledger, client, server } = bench()
    expect(ledger.awaited).toBe(false)
    client(Query)
    expect(ledger.awaited).toBe(true)
    server(CommandComplete, ReadyForQuery)
    client(Parse, Bind, Execute)
    expect(ledger.awaited).toBe(false)
    client(Flush)
    expect(ledger.awaited).toBe(true)
    server(ParseComplete, BindComplete, CommandComplete)
    client(Parse, Sync)
    expect(ledger.awaited).toBe(true)
  })

  test('not while the client copies in, and again when it is done', () => {
    const { ledger, client, server } = bench()
    client(Query)
    server(CopyInResponse)
    client(CopyData)
    expect(ledger.awaited).toBe(false)
    client(CopyDone)
    expect(ledger.awaited).toBe(true)
  })
})

describe('a query or a function call within a pipeline', () => {
  test.each([FRONTEND.Query, FRONTEND.FunctionCall])('is noted, and no other is: %d', (tag) => {
    const { ledger, client } = bench()
    client(tag, Parse, Sync, tag)
    expect(ledger.mixed).toBeFalse()
    client(Bind, tag)
    expect(ledger.mixed).toBeTrue()
  })

  test('stands for itself: what comes behind it cannot know how it ends', () => {
    const { ledger, client, server } = bench()
    client(Parse, Bind)
    expect(ledger.behind).toBeFalse()
    server(ParseComplete)
    client(Query)
    expect(ledger.behind).toBeTrue()
    server(BindComplete, CommandComplete, ReadyForQuery)
    expect(ledger.behind).toBeFalse()
    client(Sync, Parse)
    expect(ledger.behind).toBeTrue()
    server(ReadyForQuery)
    expect(ledger.behind).toBeFalse()
  })

  test('is not waited for where a copy has eaten the Sync behind it', () => {
    const { ledger, client, server } = bench()
    client(Query, Sync, CopyDone)
    server(CopyInResponse, CommandComplete, ReadyForQuery)
    expect([ledger.behind, ledger.owed]).toEqual([false, 0])
  })
})
