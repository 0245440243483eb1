"""Outgoing text, pure: from what an agent wrote to the messages that a channel is sent.

reply           -- the parts of a response, as the agent and the settings say
composer        -- `compose`: the parts of a reply for a channel's dialect
markdown        -- Markdown as models write it, read into styled text
markdown_rules  -- the parser behind it, and what it leaves alone
markup          -- HTML, MarkdownV2 and WhatsApp's mark-up of a workflow's own, read so that a cut does not tear it
styled          -- text with spans, and parts with mark-up or Telegram entities
splitter        -- parts within the limit, styles closed and reopened at the cuts
breaks          -- where a reader of any script would pause; grapheme clusters (UAX #29)
units           -- the units in which providers count
"""
