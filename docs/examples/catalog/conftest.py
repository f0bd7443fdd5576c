from gevent import monkey

monkey.patch_all(queue=False)  # as the program does, before anything else is imported
