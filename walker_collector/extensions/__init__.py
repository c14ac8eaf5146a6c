"""The extensions that come with the collector; plugins like any other, named by a flow."""
