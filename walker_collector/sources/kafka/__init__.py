"""The source `kafka`: the events in messages of topics, as a member of a consumer group.

    poll thread      GroupMember: assignments, messages, commits, back pressure
       │ messages, in groups
       ▼
    hand-on thread   TakingOver: the offsets to go on from; HandingOn: stores events

Offsets live in the spool, in the transaction of the events before them. Those at the brokers
are for their tools, and for a group that begins with another spool.
"""
