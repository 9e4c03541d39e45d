"""The decision endpoint: a WSGI application that answers queries over HTTP from the policy in force."""
